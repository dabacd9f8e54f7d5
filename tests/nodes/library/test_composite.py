"""One picture over another, held to Pillow and to the formulas of W3C Compositing and Blending."""

from __future__ import annotations

import typing
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pictures
from PIL import ImageChops

from tests.refusals import refused
from weft.nodes import CompositeImages, Image, Mask, ShapeMask
from weft.nodes.pictures.blending import BlendMode

MODES: list[Any] = [*typing.get_args(BlendMode)]
CHANCE = torch.Generator().manual_seed(1)
BELOW, ABOVE = (Image((torch.rand(2, 24, 30, 3, generator=CHANCE) * 255).round() / 255) for _ in "ab")
CHOPS = {
    "multiply": ImageChops.multiply,
    "screen": ImageChops.screen,
    "darken": ImageChops.darker,
    "lighten": ImageChops.lighter,
    "difference": ImageChops.difference,
    "hard light": ImageChops.hard_light,
    "overlay": ImageChops.overlay,
    "add": ImageChops.add,
    "subtract": ImageChops.subtract,
}


@pytest.mark.parametrize("mode", CHOPS)
def test_modes_are_those_of_pillow(mode: Any) -> None:
    expected = CHOPS[mode](BELOW.to_pil()[0], ABOVE.to_pil()[0])
    found = CompositeImages(BELOW, ABOVE, mode=mode).pixels[0].numpy() * 255
    assert numpy.abs(found - numpy.asarray(expected)).max() <= 2


@pytest.mark.parametrize("mode", MODES)
def test_what_the_mask_leaves_out_stays_bit_for_bit(mode: Any) -> None:
    mask = ShapeMask(30, 24, "ellipse", feather=2.0)
    for below in (BELOW, Image(torch.cat([BELOW.pixels, BELOW.pixels[..., :1]], -1))):
        made = CompositeImages(below, ABOVE, mask, mode=mode).pixels
        outside = mask.coverage[0] == 0
        assert torch.equal(made[:, outside], below.pixels[:, outside]) and not torch.equal(made, below.pixels)
        assert torch.equal(CompositeImages(below, ABOVE, opacity=0.0, mode=mode).pixels, below.pixels)
        assert 0 <= made.min() <= made.max() <= 1


def test_what_the_mask_shows_whole_is_the_picture_above_bit_for_bit() -> None:
    assert torch.equal(CompositeImages(BELOW, ABOVE).pixels, ABOVE.pixels)
    half = CompositeImages(BELOW, ABOVE, opacity=0.5).pixels
    assert torch.allclose(half, (BELOW.pixels + ABOVE.pixels) / 2, atol=1e-6)


def test_transparent_pictures_are_composited_as_pillow_does() -> None:
    one, other = (Image((torch.rand(1, 24, 30, 4, generator=CHANCE) * 255).round() / 255) for _ in "ab")
    expected = numpy.asarray(Pictures.alpha_composite(one.to_pil()[0], other.to_pil()[0])).astype(float)
    found = CompositeImages(one, other).pixels[0].numpy() * 255
    assert numpy.abs(found[..., 3] - expected[..., 3]).max() <= 1
    assert (numpy.abs(found - expected)[..., :3] * expected[..., 3:] / 255).max() <= 1.5


@settings(max_examples=40)
@given(st.integers(-40, 40), st.integers(-40, 40))
def test_a_place_is_that_of_a_paste_and_what_reaches_over_the_edge_is_cut_off(left: int, top: int) -> None:
    small = Image(ABOVE.pixels[:1, :10, :12])
    expected = BELOW.to_pil()[1]
    expected.paste(small.to_pil()[0], (left, top))
    made = CompositeImages(BELOW, small, left=left, top=top).to_pil()[1]
    assert made.tobytes() == expected.tobytes()


def test_sizes_and_batches_that_do_not_go_together_are_refused() -> None:
    with refused("size-mismatch", 30, 24):
        CompositeImages(BELOW, ABOVE, Mask(torch.ones(1, 24, 29)))
    with refused("batch-mismatch"):
        CompositeImages(BELOW, Image(torch.rand(3, 24, 30, 3)))
    assert len(CompositeImages(Image(BELOW.pixels[:1]), ABOVE).pixels) == 2
