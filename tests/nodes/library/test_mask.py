"""Masks from colours and shapes; grown, feathered, combined."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.refusals import refused
from weft.nodes import (
    ColourMask,
    CombineMasks,
    FeatherMask,
    GrowMask,
    Image,
    ImageToMask,
    Mask,
    MaskToImage,
    SetAlpha,
    ShapeMask,
)


def spots(seed: int, size: int = 15) -> Mask:
    return Mask((torch.rand(1, size, size, generator=torch.Generator().manual_seed(seed)) > 0.9).float())


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 9), st.sampled_from(["round", "square"]))
def test_a_grown_mask_covers_what_lies_within_so_many_pixels(seed: int, pixels: int, shape: Any) -> None:
    mask = spots(seed)
    rows, columns = numpy.nonzero(mask.coverage[0].numpy())
    y, x = numpy.mgrid[:15, :15]
    expected = numpy.zeros((15, 15), bool)
    for row, column in zip(rows, columns, strict=True):
        across, down = abs(x - column), abs(y - row)
        expected |= (
            (numpy.hypot(across, down) <= pixels + 0.5) if shape == "round" else (numpy.maximum(across, down) <= pixels)
        )
    assert numpy.array_equal(GrowMask(mask, pixels, shape=shape).coverage[0].numpy(), expected)
    shrunk = GrowMask(Mask(1 - mask.coverage), -pixels, shape=shape).coverage[0].numpy()
    assert numpy.array_equal(shrunk, 1 - expected.astype("float32"))


def test_soft_masks_grow_as_hard_ones_do() -> None:
    mask = spots(3)
    assert torch.equal(GrowMask(Mask(mask.coverage * 0.5), 3).coverage, GrowMask(mask, 3).coverage * 0.5)
    assert torch.equal(GrowMask(mask, 0).coverage, mask.coverage)


def test_a_feathered_edge_is_half_where_it_was() -> None:
    mask = ShapeMask(64, 64, left=0.5, top=-1.0, right=2.0, bottom=2.0)
    soft = GrowMask(mask, 0, feather=4.0).coverage[0, 32]
    assert float(soft[31] + soft[32]) == pytest.approx(1, abs=1e-3) and soft[0] == 0 and soft[63] == 1
    assert bool((soft.diff() >= 0).all())


def test_sides_fade_in_a_line() -> None:
    made = FeatherMask(Mask(torch.ones(1, 6, 8)), left=4, bottom=2).coverage[0]
    across, down = torch.tensor([0.25, 0.5, 0.75, 1, 1, 1, 1, 1]), torch.tensor([1, 1, 1, 1, 1, 0.5])
    assert torch.equal(made, down[:, None] * across)


def test_shapes_lie_where_shares_say() -> None:
    box = ShapeMask(40, 20, left=0.25, top=0.5, right=0.75, bottom=1.0).coverage[0]
    assert box[10:, 10:30].all() and box.sum() == 200
    round_ = ShapeMask(101, 51, "ellipse").coverage[0]
    assert float(round_.sum()) == pytest.approx(numpy.pi / 4 * 50.5 * 25.5, rel=0.02)
    assert torch.equal(round_, round_.flip(0)) and torch.equal(round_, round_.flip(1))
    rising = ShapeMask(100, 4, "gradient right", left=0.0, right=1.0).coverage[0, 0]
    assert torch.allclose(rising, (torch.arange(100) + 0.5) / 100)
    assert torch.allclose(ShapeMask(100, 4, "gradient left", left=0.0, right=1.0).coverage[0, 0], 1 - rising)
    assert ShapeMask(4, 100, "gradient down", top=0.0, bottom=1.0).coverage[0, :, 0].argmax() == 99


def test_a_colour_is_found_with_its_shades() -> None:
    pixels = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.9, 0.1], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])[None, None]
    assert ColourMask(Image(pixels), "#00ff00").coverage.flatten().tolist() == [1, 1, 0, 0]
    assert ColourMask(Image(pixels), "lime", tolerance=0.5).coverage.flatten().tolist() == [1, 0, 0, 0]
    soft = ColourMask(Image(pixels), "lime", tolerance=0.0, softness=30.0).coverage.flatten()
    assert soft[0] == pytest.approx(1) and 0 < soft[1] < 1 and soft[2] == 0


COMBINED = {
    "union": [1, 1, 1, 0],
    "intersection": [1, 0, 0, 0],
    "difference": [0, 1, 0, 0],
    "exclusion": [0, 1, 1, 0],
    "product": [1, 0, 0, 0],
    "average": [1, 0.5, 0.5, 0],
}


@pytest.mark.parametrize("mode", COMBINED)
def test_masks_combine_as_sets_do(mode: Any) -> None:
    one, other = Mask(torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])), Mask(torch.tensor([[[1.0, 0.0, 1.0, 0.0]]]))
    assert CombineMasks(one, other, mode).coverage.flatten().tolist() == COMBINED[mode]


def test_masks_become_pictures_and_alpha_and_masks_again() -> None:
    mask = Mask(torch.rand(2, 5, 6))
    assert torch.allclose(ImageToMask(MaskToImage(mask)).coverage, mask.coverage, atol=1e-6)
    clear = SetAlpha(Image(torch.rand(2, 5, 6, 4)), mask)
    assert torch.equal(ImageToMask(clear, channel="alpha").coverage, mask.coverage)


def test_masks_of_another_size_are_refused() -> None:
    with refused("size-mismatch", 6, 5):
        CombineMasks(Mask(torch.ones(1, 5, 6)), Mask(torch.ones(1, 6, 5)))
    with refused("size-mismatch"):
        SetAlpha(Image(torch.rand(1, 5, 6, 3)), Mask(torch.ones(1, 6, 5)))
