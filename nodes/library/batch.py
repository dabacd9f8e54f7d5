"""Batches and lists of pictures and masks: BatchImages, SplitBatch, PickFromBatch."""

from __future__ import annotations

from typing import Annotated

from weft.engine import INJECTED, Context, InputError, Range, check_pixels, listed, node
from weft.nodes.pictures.planes import as_given, pixels_of
from weft.nodes.sizes import SizeTraits, same_size, size_of
from weft.nodes.value_checks import empty_list, has_some
from weft.nodes.values import P


@node(category="image", lane="cpu", check=has_some("images", "picture"))
def BatchImages(images: list[P], *, context: Context = INJECTED) -> P:
    """Make one batch of a list of pictures, or of masks; the items of batches follow each other.

    Args:
        images: all of one size; where one picture has alpha, all of the batch have. An array of links, or the list that
            `map:` gives.
    """
    import torch

    if not images:
        raise empty_list("picture")
    if len({*map(type, images)}) > 1:
        hint = "make pictures of the masks with MaskToImage, or masks of the pictures with ImageToMask"
        raise InputError("the list has both pictures and masks", hint, "wrong-type")
    pixels = [pixels_of(image) for image in images]
    sizes = dict.fromkeys(map(size_of, pixels))
    if len(sizes) > 1:
        found = listed(map(str, sizes))
        raise InputError(
            f"pictures of a batch have one size; found {found}", "put ScaleImage before each", "size-mismatch"
        )
    check_pixels(*size_of(pixels[0]), sum(map(len, pixels)), context.limits)
    if len({one.shape[-1] for one in pixels}) > 1:
        pixels = [torch.cat([one, torch.ones_like(one[..., :1])], -1) if one.shape[-1] == 3 else one for one in pixels]
    return as_given(images[0], torch.cat(pixels))


@node(category="image", lane="cpu")
def SplitBatch(image: P) -> list[P]:
    """Make a list of the items of a batch, each by itself: for `map:`, or to save them under names of their own.

    Args:
        image: the pictures, or the masks.
    """
    return [as_given(image, one[None].clone()) for one in pixels_of(image)]


@node(category="image", lane="cpu", traits=(SizeTraits(same_size, of="image"),))
def PickFromBatch(
    image: P,
    index: Annotated[int, Range(-4096, 4096)] = 0,
    *,
    count: Annotated[int, Range(1, 4096)] = 1,
) -> P:
    """Take items out of a batch.

    Args:
        image: the pictures, or the masks.
        index: of the first one, counted from 0; below 0 from the end: -1 is the last one.
        count: how many are taken, as far as there are as many.
    """
    pixels = pixels_of(image)
    start = index + len(pixels) if index < 0 else index
    if not 0 <= start < len(pixels):
        raise InputError(f"there is no item {index} in a batch of {len(pixels)}", "count from 0", "out-of-range")
    return as_given(image, pixels[start : start + count].clone())
