"""Pictures and masks as pixels `[batch, height, width, channel]`, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from weft.nodes.values import Image, Mask, P

if TYPE_CHECKING:
    from torch import Tensor


def pixels_of(image: Image | Mask) -> Tensor:
    """The pixels of pictures; a mask has one channel."""
    return image.coverage[..., None] if isinstance(image, Mask) else image.pixels


def as_given(image: P, pixels: Tensor) -> P:
    """Pixels as what they came from: pictures or masks."""
    made: Any = Mask(pixels[..., 0].contiguous()) if isinstance(image, Mask) else Image(pixels.contiguous())
    return cast(P, made)
