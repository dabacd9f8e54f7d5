"""The shape of pictures and masks: parts of them, what is added, rotations."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pictures

from tests.refusals import refused
from weft.nodes import CropImage, CropToAspect, FlipImage, Image, Mask, PadImage, RotateImage
from weft.nodes.pictures.fitting import rotated_size
from weft.nodes.sizes import Size

PIXELS = torch.rand(2, 30, 41, 3, generator=torch.Generator().manual_seed(0))
PICTURE = Image(PIXELS)


def test_a_box_the_middle_and_multiples_are_kept() -> None:
    assert torch.equal(CropImage(PICTURE, 10, 8, left=3, top=4).pixels, PIXELS[:, 4:12, 3:13])
    assert torch.equal(CropImage(PICTURE, 11, 10).pixels, PIXELS[:, 10:20, 15:26])
    assert torch.equal(CropImage(PICTURE, multiple=8).pixels, PIXELS[:, 3:27, :40])
    assert torch.equal(CropImage(PICTURE, left=20).pixels, PIXELS[:, :, 20:])
    assert torch.equal(CropImage(Mask(PIXELS[..., 0]), 5, 5, left=0, top=0).coverage, PIXELS[:, :5, :5, 0])


@pytest.mark.parametrize("given", [{"width": 42}, {"left": 40, "width": 2}, {"multiple": 64}])
def test_what_is_not_within_the_picture_cannot_be_kept(given: Any) -> None:
    with refused("out-of-range"):
        CropImage(PICTURE, **given)


@pytest.mark.parametrize(
    ("across", "down", "anchor", "kept"),
    [
        (1, 1, "left", PIXELS[:, :, :30]),
        (1, 1, "right", PIXELS[:, :, 11:]),
        (2, 1, "top", PIXELS[:, :20]),
        (41, 30, "centre", PIXELS),
    ],
)
def test_proportions_are_cut_out_at_the_anchor(across: int, down: int, anchor: Any, kept: torch.Tensor) -> None:
    assert torch.equal(CropToAspect(PICTURE, across, down, anchor=anchor).pixels, kept)


@pytest.mark.parametrize(("fill", "mode"), [("edge", "edge"), ("reflect", "reflect")])
def test_what_is_added_repeats_or_mirrors_the_picture(fill: Any, mode: Any) -> None:
    padded = PadImage(PICTURE, 50, 1, 2, 3, fill=fill)
    assert numpy.array_equal(padded.image.pixels, numpy.pad(PIXELS, ((0, 0), (1, 3), (50, 2), (0, 0)), mode=mode))


def test_the_mask_is_1_where_pixels_were_added_and_falls_inside() -> None:
    hard = PadImage(PICTURE, right=7, multiple=8, fill="colour", colour="red")
    assert hard.image.pixels.shape[1:3] == hard.mask.coverage.shape[1:] == (32, 48)
    assert torch.equal(hard.image.pixels[:, :30, :41], PIXELS) and not hard.mask.coverage[:, :30, :41].any()
    added = hard.mask.coverage[0] == 1
    assert (
        bool((hard.image.pixels[0][added] == torch.tensor([1.0, 0.0, 0.0])).all()) and added.sum() == 32 * 48 - 30 * 41
    )
    soft = PadImage(PICTURE, left=4, feather=3).mask.coverage[0]
    assert soft[5].tolist() == pytest.approx([1] * 4 + [0.75, 0.5, 0.25] + [0] * 38)


def test_nothing_added_is_the_same_picture() -> None:
    padded = PadImage(PICTURE)
    assert torch.equal(padded.image.pixels, PIXELS) and not padded.mask.coverage.any()


def test_transparent_pictures_are_added_to_with_nothing() -> None:
    picture = Image(torch.cat([PIXELS, torch.ones(2, 30, 41, 1)], -1))
    assert not PadImage(picture, left=5, fill="colour").image.pixels[:, :, :5, 3].any()
    assert not RotateImage(picture, 45).pixels[:, 0, 0, 3].any()


@pytest.mark.parametrize("quarters", [-3, -1, 1, 2, 4])
def test_quarters_move_pixels_as_they_are(quarters: int) -> None:
    assert torch.equal(RotateImage(PICTURE, 90.0 * quarters).pixels, torch.rot90(PIXELS, quarters, (1, 2)))


@settings(max_examples=40)
@given(st.floats(-360, 360), st.booleans())
def test_other_angles_are_those_of_pillow(angle: float, expand: bool) -> None:
    levels = (PIXELS[0] * 80 + 90).round().byte()  # Pillow clamps what leaves 8 bits
    source = Pictures.fromarray(levels.numpy())
    expected = numpy.asarray(source.rotate(angle, Pictures.Resampling.BICUBIC, expand)).astype("float32") / 255
    found = RotateImage(Image(levels[None].float() / 255), angle, expand=expand).pixels[0].numpy()
    assert found.shape == expected.shape
    if expand:
        assert rotated_size(Size(41, 30), angle) == (found.shape[1], found.shape[0])
    inside = RotateImage(Mask(torch.ones(1, 30, 41)), angle, expand=expand).coverage[0].numpy() == 1
    assert numpy.abs(found - expected)[inside].max() <= 1.5 / 255


def test_the_background_shows_in_the_corners() -> None:
    assert RotateImage(PICTURE, 45, background="#ff0000").pixels[0, 0, 0].tolist() == [1, 0, 0]
    assert RotateImage(Mask(torch.ones(1, 30, 30)), 45).coverage[0, 0, 0] == 0


def test_pictures_are_mirrored() -> None:
    assert torch.equal(FlipImage(PICTURE).pixels, PIXELS.flip(2))
    assert torch.equal(FlipImage(FlipImage(PICTURE, "vertical"), "vertical").pixels, PIXELS)
