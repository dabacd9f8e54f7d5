"""ComfyUI's pictures: loading, saving, scaling, batches."""

from __future__ import annotations

import re
from typing import Any

from weft.nodes.interop.entries import UnmappableError
from weft.nodes.interop.writing import MappedNode, maps


@maps("LoadImage")
def _loaded(one: MappedNode) -> tuple[Any, ...]:
    name = re.sub(r"\s*\[(input|output|temp)\]$", "", one.file("image"))
    made = one.add("LoadImage", path=name)
    one.parameter("image", made, "path", "the picture to start from")
    # Its mask is what is transparent.
    mask = one.add("ImageToMask", "mask", image=made, channel="alpha", invert=True).link if 1 in one.uses else None
    return made.link, mask


@maps("SaveImage", "PreviewImage")
def _saved(one: MappedNode) -> tuple[Any, ...]:
    prefix = one("filename_prefix", "preview")
    name = saved_name(prefix) if isinstance(prefix, str) else prefix
    one.add("SaveImage", image=one.link("images"), name=name, rounding="down")
    return ()


def saved_name(prefix: str) -> str:
    """A prefix of file names without folders and without what the editor fills in: `%date:yyyy%`, `%KSampler.seed%`."""
    last = re.sub(r"%[^%]*%", "", prefix.replace("\\", "/")).rstrip("/").rpartition("/")[2]
    return re.sub(r'[<>:"|?*\x00-\x1f]', "", last).strip(" .") or "image"


FILTERS = {
    "lanczos": "lanczos",
    "bicubic": "bicubic_aliased",
    "bilinear": "bilinear_aliased",
    "nearest-exact": "nearest",
    "area": "box",
}


def filter_of(one: MappedNode, name: str = "upscale_method") -> str:
    found = FILTERS.get(str(one.literal(name)))
    if found is None:
        raise UnmappableError(f"pictures are not scaled by `{one.literal(name)}` here")
    return found


@maps("ImageScale")
def _scaled(one: MappedNode) -> tuple[Any, ...]:
    fit = "fill" if one.literal("crop", "disabled") == "center" else "stretch"
    width, height = one("width"), one("height")
    if not width or not height:
        raise UnmappableError("a side of 0, which keeps the proportions, is not mapped")
    made = one.add("ScaleImage", image=one.link("image"), width=width, height=height, fit=fit, filter=filter_of(one))
    return (made.link,)


@maps("ImageScaleBy")
def _scaled_by(one: MappedNode) -> tuple[Any, ...]:
    factor = float(one.literal("scale_by"))
    return (one.add("ScaleImageBy", image=one.link("image"), factor=factor, filter=filter_of(one)).link,)


@maps("ImageScaleToTotalPixels")
def _scaled_to_pixels(one: MappedNode) -> tuple[Any, ...]:
    """A megapixel is 1024 x 1024 there and here."""
    many, multiple = float(one.literal("megapixels")), int(one.literal("resolution_steps", 1))
    made = one.add(
        "ScaleImageToPixels", image=one.link("image"), megapixels=many, filter=filter_of(one), multiple=multiple
    )
    return (made.link,)


@maps("ImageUpscaleWithModel")
def _upscaled(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("UpscaleImage", upscaler=one.link("upscale_model"), image=one.link("image")).link,)


@maps("ImageInvert")
def _inverted(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("InvertImage", image=one.link("image")).link,)


@maps("ImageBatch")
def _batched(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("BatchImages", images=[one.link("image1"), one.link("image2")]).link,)


@maps("ImageFromBatch")
def _taken(one: MappedNode) -> tuple[Any, ...]:
    made = one.add("PickFromBatch", image=one.link("image"), index=one("batch_index"), count=one("length"))
    return (made.link,)


@maps("ImageCrop")
def _cropped(one: MappedNode) -> tuple[Any, ...]:
    sides = {"width": one("width"), "height": one("height"), "left": one("x"), "top": one("y")}
    return (one.add("CropImage", image=one.link("image"), **sides).link,)


@maps("GetImageSize")
def _size(one: MappedNode) -> tuple[Any, ...]:
    made = one.add("ImageSize", image=one.link("image"))
    return tuple(made.output(name) for name in ("width", "height", "batch_size"))


@maps("Canny")
def _edges(one: MappedNode) -> tuple[Any, ...]:
    """Its thresholds are shares of the greatest slope, and those here are of 255 levels."""
    low, high = (float(one.literal(name)) * 255 for name in ("low_threshold", "high_threshold"))
    return (one.add("FindCannyEdges", image=one.link("image"), low=low, high=high).link,)


@maps("ImagePadForOutpaint")
def _padded(one: MappedNode) -> tuple[Any, ...]:
    sides = {side: one(side) or None for side in ("left", "top", "right", "bottom")}
    made = one.add(
        "PadImage",
        image=one.link("image"),
        **sides,
        fill="colour",
        colour="#808080",
        feather=one("feathering") or None,
    )
    return made.output("image"), made.output("mask")


@maps("ImageToMask")
def _mask(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("ImageToMask", image=one.link("image"), channel=one.literal("channel")).link,)


@maps("MaskToImage")
def _of_mask(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("MaskToImage", mask=one.link("mask")).link,)


@maps("ImageCompositeMasked")
def _composed(one: MappedNode) -> tuple[Any, ...]:
    if one.literal("resize_source", False):
        raise UnmappableError("`resize_source` is on, which CompositeImages does not do")
    made = one.add(
        "CompositeImages",
        below=one.link("destination"),
        above=one.link("source"),
        mask=one.link("mask") if one.has("mask") else None,
        left=one("x") or None,
        top=one("y") or None,
    )
    return (made.link,)
