"""ComfyUI's masks."""

from __future__ import annotations

from typing import Any

from weft.nodes.interop.entries import UnmappableError
from weft.nodes.interop.writing import MappedNode, maps


@maps("GrowMask")
def _grown(one: MappedNode) -> tuple[Any, ...]:
    """With tapered corners it grows by crosses, without them by squares."""
    pixels, shape = one("expand"), "round" if one.literal("tapered_corners", True) else "square"
    return (one.add("GrowMask", mask=one.link("mask"), pixels=pixels, shape=shape).link,)


@maps("FeatherMask")
def _feathered(one: MappedNode) -> tuple[Any, ...]:
    sides = {side: one(side) or None for side in ("left", "top", "right", "bottom")}
    return (one.add("FeatherMask", mask=one.link("mask"), **sides).link,)


@maps("InvertMask")
def _inverted(one: MappedNode) -> tuple[Any, ...]:
    picture = one.add("MaskToImage", "picture", mask=one.link("mask"))
    return (one.add("ImageToMask", image=picture, channel="red", invert=True).link,)


@maps("MaskPreview")
def _shown(one: MappedNode) -> tuple[Any, ...]:
    one.add("SaveImage", image=one.add("MaskToImage", "picture", mask=one.link("mask")), name="mask")
    return ()


@maps("LoadImageMask")
def _loaded(one: MappedNode) -> tuple[Any, ...]:
    """A mask of the alpha channel is 1 where the picture is transparent."""
    channel = one.literal("channel")
    picture = one.add("LoadImage", "picture", path=one.file("image").removesuffix(" [input]"))
    return (one.add("ImageToMask", image=picture, channel=channel, invert=channel == "alpha" or None).link,)


OPERATIONS = {"multiply": "product", "and": "intersection", "or": "union", "xor": "exclusion", "subtract": "difference"}


@maps("MaskComposite")
def _combined(one: MappedNode) -> tuple[Any, ...]:
    mode = OPERATIONS.get(str(one.literal("operation")))
    if mode is None or one("x", 0) or one("y", 0):
        raise UnmappableError("masks are combined here by " + ", ".join(OPERATIONS) + ", at the same place")
    return (one.add("CombineMasks", mask=one.link("destination"), other=one.link("source"), mode=mode).link,)


@maps("JoinImageWithAlpha")
def _transparent(one: MappedNode) -> tuple[Any, ...]:
    """Transparent where the mask is 1."""
    one.assume("JoinImageWithAlpha: the picture is transparent where the mask is 1")
    opaque = one.add("SetLevels", "opaque", image=one.link("alpha"), low=1.0, high=0.0)
    return (one.add("SetAlpha", image=one.link("image"), mask=opaque).link,)
