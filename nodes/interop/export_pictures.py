"""Pictures, masks and latents as ComfyUI's nodes, beyond those of `weft.nodes.interop.export_entries`."""

from __future__ import annotations

from weft.nodes.interop import comfy_latents
from weft.nodes.interop.comfy_masks import OPERATIONS
from weft.nodes.interop.comfy_pictures import FILTERS
from weft.nodes.interop.entries import UnmappableError
from weft.nodes.interop.export_entries import EXPORTS, ExportedNode, Outputs, Plain, exports

__all__ = ["EXPORTS"]

METHODS = {**{own: name for name, own in FILTERS.items()}, "bilinear": "bilinear", "bicubic": "bicubic"}
"""Filters by name; the last two take fewer pixels there where a picture is reduced."""

OF_LATENTS = {own: name for name, own in comfy_latents.METHODS.items()}
"""ComfyUI's names of filters."""

SIDES = ("left", "top", "right", "bottom")

EXPORTS.update(
    {
        "ImageSize": Plain(
            "GetImageSize", {"image": "image"}, ("width", "height", "batch_size"), usual=("image_size", "size")
        ),
        "FeatherMask": Plain(
            "FeatherMask", {"mask": "mask", **{side: side for side in SIDES}}, usual=("feather_mask",)
        ),
        "PickFromBatch": Plain(
            "ImageFromBatch", {"image": "image", "index": "batch_index", "count": "length"}, usual=("pick_from_batch",)
        ),
        "ApplyReVision": Plain(
            "unCLIPConditioning",
            {"prompt": "conditioning", "embedding": "clip_vision_output", "strength": "strength"},
            fixed={"noise_augmentation": 0.0},
            ignored=("mode",),
            usual=("apply_re_vision",),
        ),
        "ApplyHypernetwork": Plain(
            "HypernetworkLoader",
            {"model": "model", "source": "hypernetwork_name!", "strength": "strength"},
            usual=("apply_hypernetwork",),
        ),
    }
)


def _only(id: str) -> Outputs:
    return {"": [id, 0]}


def method_of(one: ExportedNode) -> str:
    """ComfyUI's name of the filter that pictures are scaled with."""
    found = METHODS.get(one.literal("filter"))
    if found is None:
        raise UnmappableError(f"`filter` is {one.literal('filter')}; there are {', '.join(METHODS)}")
    return found


@exports("BatchImages")
def _batched(one: ExportedNode) -> Outputs:
    images = one("images")
    if not isinstance(images, list) or len(images) != 2:
        raise UnmappableError("there, two pictures go into this node; write one node for each pair")
    return _only(one.add("ImageBatch", {"image1": images[0], "image2": images[1]}, "batch_images"))


@exports("ScaleImage")
def _scaled(one: ExportedNode) -> Outputs:
    fits = {"stretch": "disabled", "fill": "center"}
    if one.literal("fit") == "inside" and one("width") == one("height"):
        inside = {"image": one("image"), "largest_size": one("width"), "upscale_method": method_of(one)}
        return _only(one.add("ImageScaleToMaxDimension", inside, "scale_image"))
    if one.literal("fit") not in fits:
        raise UnmappableError(f"`fit` is {one.literal('fit')}, expected one of {', '.join(fits)}")
    inputs = {"image": one("image"), "width": one("width"), "height": one("height"), "crop": fits[one.literal("fit")]}
    return _only(one.add("ImageScale", {**inputs, "upscale_method": method_of(one)}, "scale_image"))


@exports("ScaleImageBy")
def _scaled_by(one: ExportedNode) -> Outputs:
    inputs = {"image": one("image"), "scale_by": one("factor"), "upscale_method": method_of(one)}
    return _only(one.add("ImageScaleBy", inputs, "scale_image_by"))


@exports("ImageToMask")
def _mask(one: ExportedNode) -> Outputs:
    """The mask of what is transparent in a picture that is loaded is an output of its loader there."""
    found = one.behind("image")
    if one.literal("channel") == "alpha" and one.literal("invert") and found and found[1].type == "LoadImage":
        return {"": [one("image")[0], 1]}
    if one.literal("invert"):
        raise UnmappableError("`invert` is on, which there is a node of its own")
    inputs = {"image": one("image"), "channel": one.literal("channel")}
    return _only(one.add("ImageToMask", inputs, "image_to_mask"))


@exports("ScaleImageToPixels")
def _scaled_to_pixels(one: ExportedNode) -> Outputs:
    inputs = {"image": one("image"), "megapixels": one("megapixels"), "upscale_method": method_of(one)}
    id = one.add("ImageScaleToTotalPixels", {**inputs, "resolution_steps": one("multiple")}, "scale_image_to_pixels")
    return _only(id)


@exports("ScaleImageToKontext")
def _scaled_for_kontext(one: ExportedNode) -> Outputs:
    if one.literal("fit") != "fill":
        raise UnmappableError(f"`fit` is {one.literal('fit')}, and there it is always fill")
    return _only(one.add("FluxKontextImageScale", {"image": one("image")}, "scale_image_to_kontext"))


@exports("FindCannyEdges")
def _edges(one: ExportedNode) -> Outputs:
    levels = {f"{name}_threshold": round(float(one.literal(name)) / 255, 6) for name in ("low", "high")}
    return _only(one.add("Canny", {"image": one("image"), **levels}, "find_canny_edges"))


@exports("BlurImage")
def _blurred(one: ExportedNode) -> Outputs:
    kernel = _kernel(one, "blur_radius")
    if one.literal("kind") != "gaussian":
        raise UnmappableError(f"`kind` is {one.literal('kind')}, and there it is always gaussian")
    return _only(one.add("ImageBlur", {"image": one("image"), **kernel}, "blur_image"))


@exports("SharpenImage")
def _sharpened(one: ExportedNode) -> Outputs:
    inputs = {"image": one("image"), "alpha": round(float(one.literal("amount")) / 10, 6)}
    return _only(one.add("ImageSharpen", {**inputs, **_kernel(one, "sharpen_radius")}, "sharpen_image"))


def _kernel(one: ExportedNode, radius: str) -> dict[str, float]:
    reach = one.literal("reach")
    if reach is None:
        raise UnmappableError("`reach` is left out, and there a blur is cut off")
    return {radius: reach, "sigma": round(float(one.literal("radius")) / reach, 6)}


@exports("GrowMask")
def _grown(one: ExportedNode) -> Outputs:
    inputs = {"mask": one("mask"), "expand": one("pixels"), "tapered_corners": one.literal("shape") == "round"}
    return _only(one.add("GrowMask", inputs, "grow_mask"))


@exports("CombineMasks")
def _combined(one: ExportedNode) -> Outputs:
    operation = next((name for name, own in OPERATIONS.items() if own == one.literal("mode")), None)
    if operation is None:
        raise UnmappableError(f"`mode` is {one.literal('mode')}; there are {', '.join(OPERATIONS.values())}")
    inputs = {"destination": one("mask"), "source": one("other"), "x": 0, "y": 0, "operation": operation}
    return _only(one.add("MaskComposite", inputs, "combine_masks"))


@exports("PadImage")
def _padded(one: ExportedNode) -> Outputs:
    if (one.literal("fill"), one.literal("colour")) != ("colour", "#808080"):
        raise UnmappableError("what is added is not grey (`fill` colour, `colour` #808080), as it is there")
    inputs = {"image": one("image"), **{side: one(side) for side in SIDES}, "feathering": one("feather")}
    id = one.add("ImagePadForOutpaint", inputs, "pad_image")
    return {"image": [id, 0], "mask": [id, 1]}


@exports("CompositeImages")
def _composed(one: ExportedNode) -> Outputs:
    if one.literal("mode") != "normal" or one.literal("opacity") != 1:
        raise UnmappableError("there, colours of whole pictures blend (ImageBlend), or a mask shows one over the other")
    inputs = {"destination": one("below"), "source": one("above"), "mask": one("mask")}
    places = {"x": one("left"), "y": one("top"), "resize_source": False}
    return _only(one.add("ImageCompositeMasked", {**inputs, **places}, "composite_images"))


@exports("BlendLatents")
def _blended(one: ExportedNode) -> Outputs:
    if one.literal("method") != "linear":
        raise UnmappableError("`method` is spherical, and there it is always linear")
    factor = round(1 - float(one.literal("amount")), 6)
    inputs = {"samples1": one("first"), "samples2": one("second"), "blend_factor": factor}
    return _only(one.add("LatentBlend", inputs, "blend_latents"))


@exports("CompositeLatents")
def _composed_latents(one: ExportedNode) -> Outputs:
    inputs = {"samples_to": one("background"), "samples_from": one("overlay")}
    places = {name: one(name) for name in ("x", "y", "feather")}
    return _only(one.add("LatentComposite", {**inputs, **places}, "composite_latents"))


@exports("ScaleLatent")
def _scaled_latents(one: ExportedNode) -> Outputs:
    width, height, method = one("width"), one("height"), one.literal("method")
    enlarged = width is None and height is None and float(one.literal("factor")) >= 1
    # The two differ only where they reduce.
    found = OF_LATENTS.get("bilinear_aliased" if method == "bilinear" and enlarged else method)
    if found is None:
        raise UnmappableError(f"`method` is {method}; there are {', '.join(OF_LATENTS)}")
    inputs = {"samples": one("latent"), "upscale_method": found}
    if width is None and height is None:
        return _only(one.add("LatentUpscaleBy", {**inputs, "scale_by": one("factor")}, "scale_latent"))
    sides = {"width": width or 0, "height": height or 0, "crop": "disabled"}
    return _only(one.add("LatentUpscale", {**inputs, **sides}, "scale_latent"))
