"""ComfyUI's pictures in other sizes and next to each other, blurred and sharpened."""

from __future__ import annotations

from typing import Any

from weft.nodes.interop.comfy_pictures import filter_of
from weft.nodes.interop.entries import UnmappableError
from weft.nodes.interop.writing import MappedNode, maps


@maps("FluxKontextImageScale")
def _for_kontext(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("ScaleImageToKontext", image=one.link("image"), fit="fill").link,)


@maps("ImageScaleToMaxDimension")
def _longest(one: MappedNode) -> tuple[Any, ...]:
    side = one("largest_size")
    sides = {"width": side, "height": side, "fit": "inside", "filter": filter_of(one)}
    return (one.add("ScaleImage", image=one.link("image"), **sides).link,)


@maps("ImageStitch")
def _next_to_each_other(one: MappedNode) -> tuple[Any, ...]:
    """The first picture alone where there is no second one."""
    if not one.has("image2"):
        return (one.link("image1"),)
    made = one.add(
        "JoinImages",
        images=[one.link("image1"), one.link("image2")],
        direction=one.literal("direction"),
        match=bool(one.literal("match_image_size")),
        spacing=one("spacing_width") or None,
        colour=one.literal("spacing_color"),
    )
    return (made.link,)


@maps("ImageBlur")
def _blurred(one: MappedNode) -> tuple[Any, ...]:
    """Its kernel ends at `blur_radius`, and `sigma` is its deviation in units of that."""
    return (one.add("BlurImage", image=one.link("image"), **_kernel(one, "blur_radius")).link,)


@maps("ImageSharpen")
def _sharpened(one: MappedNode) -> tuple[Any, ...]:
    """Ten times `alpha` of what its kernel takes away."""
    amount = round(10 * float(one.literal("alpha")), 6)
    kernel = _kernel(one, "sharpen_radius")
    return (one.add("SharpenImage", image=one.link("image"), amount=amount, **kernel).link,)


def _kernel(one: MappedNode, radius: str) -> dict[str, Any]:
    reach = int(one.literal(radius))
    one.assume(f"{one.node.type}: `sigma` is in units of `{radius}`, so that a greater radius is a wider blur")
    return {"radius": round(float(one.literal("sigma")) * reach, 6), "reach": reach}


MODES = {"normal": None, "multiply": "multiply", "screen": "screen", "overlay": "overlay", "soft_light": "soft light"}


@maps("ImageBlend")
def _blended(one: MappedNode) -> tuple[Any, ...]:
    """The second picture is brought to the size of the first one."""
    mode, below = one.literal("blend_mode"), one.link("image1")
    if mode not in MODES:
        raise UnmappableError(
            f"`blend_mode` is `{mode}`, whose levels below 0 have no counterpart; mapped: {', '.join(MODES)}"
        )
    size = one.add("ImageSize", "size", image=below)
    sides = {name: size.output(name) for name in ("width", "height")}
    above = one.add("ScaleImage", "second", image=one.link("image2"), **sides, fit="fill", filter="bicubic_aliased")
    opacity = float(one.literal("blend_factor"))
    return (one.add("CompositeImages", below=below, above=above, mode=MODES[mode], opacity=opacity).link,)


@maps("RepeatImageBatch")
def _repeated(one: MappedNode) -> tuple[Any, ...]:
    count = int(one.literal("amount"))
    return (one.add("BatchImages", images=[one.link("image")] * count).link,)


@maps("PreviewAny")
def _shown(one: MappedNode) -> tuple[Any, ...]:
    """It shows a value in the editor and gives nothing."""
    return (None,)


@maps("ResizeAndPadImage")
def _padded_to(one: MappedNode) -> tuple[Any, ...]:
    sides = {"width": one("target_width"), "height": one("target_height"), "filter": filter_of(one, "interpolation")}
    colour = one.literal("padding_color")
    if colour not in ("white", "black"):
        raise UnmappableError(f"`padding_color` is `{colour}`, expected `white` or `black`")
    return (one.add("ScaleImage", image=one.link("image"), fit="pad", background=colour, **sides).link,)
