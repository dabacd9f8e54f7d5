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
    """`blur_radius` is where its kernel ends, `sigma` its deviation, which the radius is here."""
    return (one.add("BlurImage", image=one.link("image"), radius=float(one.literal("sigma"))).link,)


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
