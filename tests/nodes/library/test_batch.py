"""Batches from lists of pictures, and back."""

from __future__ import annotations

import pytest
import torch

from tests.refusals import refused
from weft.nodes import BatchImages, Image, Mask, PickFromBatch, SplitBatch

PIXELS = torch.rand(3, 4, 5, 3)


def test_a_batch_is_split_and_put_together_again() -> None:
    items = SplitBatch(Image(PIXELS))
    assert len(items) == 3 and torch.equal(BatchImages(items).pixels, PIXELS)
    masks = SplitBatch(Mask(PIXELS[..., 0]))
    assert torch.equal(BatchImages(masks).coverage, PIXELS[..., 0])


def test_pictures_without_alpha_are_opaque_next_to_others() -> None:
    made = BatchImages([Image(PIXELS), Image(torch.rand(1, 4, 5, 4))]).pixels
    assert made.shape == (4, 4, 5, 4) and bool((made[:3, ..., 3] == 1).all())


@pytest.mark.parametrize(("index", "count", "taken"), [(0, 1, [0]), (1, 2, [1, 2]), (-1, 1, [2]), (2, 5, [2])])
def test_items_are_taken_by_number(index: int, count: int, taken: list[int]) -> None:
    assert torch.equal(PickFromBatch(Image(PIXELS), index, count=count).pixels, PIXELS[taken])


def test_what_makes_no_batch_is_refused() -> None:
    with refused("size-mismatch", 5, 4, "ScaleImage"):
        BatchImages([Image(PIXELS), Image(torch.rand(1, 5, 4, 3))])
    with refused("empty-list"):
        BatchImages([])
    for index in (3, -4):
        with refused("out-of-range", 3):
            PickFromBatch(Image(PIXELS), index)


def test_pictures_and_masks_make_no_batch() -> None:
    with refused("wrong-type"):
        BatchImages([Image(torch.zeros(1, 2, 2, 3)), Mask(torch.zeros(1, 2, 2))])  # type: ignore[type-var]
