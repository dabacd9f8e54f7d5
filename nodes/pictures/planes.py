"""Pictures and masks as pixels `[batch, height, width, channel]`, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from weft.engine import InputError
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


def batch_of(*batches: int) -> int:
    """The batch that several make together: those of one item go with every item of the others.

    Raises:
        InputError: where there are neither one nor as many.
    """
    most = max(batches)
    if any(batch not in (1, most) for batch in batches):
        found = " and ".join(map(str, batches))
        raise InputError(
            f"batches of {found} do not go together", "give one for all, or one for each", "batch-mismatch"
        )
    return most
