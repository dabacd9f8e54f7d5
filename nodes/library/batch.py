"""Batches and lists of pictures and masks: BatchImages, SplitBatch, PickFromBatch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from weft.engine import INJECTED, Context, InputError, NodeProblem, Range, Upstream, check_pixels, listed, node
from weft.nodes.pictures.planes import as_given, pixels_of
from weft.nodes.sizes import Size, SizeTraits, batch_above, literals_of, same_size, size_of, sizes_in
from weft.nodes.value_checks import empty_list, has_some
from weft.nodes.values import P


def _of_one_size(node: Upstream) -> Iterator[NodeProblem]:
    """Pictures of a batch must be of one size."""
    sizes = dict.fromkeys(size for size in sizes_in(node, "images") if size)
    if len(sizes) > 1:
        yield NodeProblem.of(_sizes_differ(sizes), "images")


def _sizes_differ(sizes: Iterable[Size]) -> InputError:
    found = listed(map(str, sizes))
    return InputError(
        f"pictures of a batch have one size; found {found}", "put ScaleImage before each", "size-mismatch"
    )


@node(
    category="image",
    lane="cpu",
    check=has_some("images", "picture"),
    fits=_of_one_size,
    traits=(SizeTraits(same_size, of="images"),),
)
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
        raise _sizes_differ(sizes)
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


def _pick_fits(node: Upstream) -> Iterator[NodeProblem]:
    """The batch must have the item."""
    items, given = batch_above(node, "image"), literals_of(node, "index")
    if items and given and not -items <= given[0] < items:
        yield NodeProblem.of(_no_item(given[0], items), "index")


def _no_item(index: int, items: int) -> InputError:
    return InputError(f"there is no item {index} in a batch of {items}", "count from 0", "out-of-range")


def _picked(node: Upstream, items: int) -> int | None:
    given = literals_of(node, "index", "count")
    if given is None:
        return None
    index, count = given
    return int(min(count, -index if index < 0 else max(items - index, 1)))


@node(category="image", lane="cpu", fits=_pick_fits, traits=(SizeTraits(same_size, of="image", batch=_picked),))
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
        raise _no_item(index, len(pixels))
    return as_given(image, pixels[start : start + count].clone())
