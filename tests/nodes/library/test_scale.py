"""Pictures in other sizes, held to Pillow's own functions on 8 bits, whose results differ by rounding alone."""

from __future__ import annotations

import typing
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pictures
from PIL import ImageOps
from torch.nn.functional import interpolate

from tests.refusals import refused
from weft.engine import Engine, Graph, Limits
from weft.nodes import Image, Mask, SaveImage, ScaleImage, ScaleImageBy, ScaleImageToPixels
from weft.nodes.pictures.resampling import ALIASED, Filter

FILTERS: list[Any] = [one for one in typing.get_args(Filter) if one not in ALIASED]
LEVEL = 1 / 255
SIDES = st.integers(1, 40)


def photograph(width: int, height: int, channels: int = 3) -> Pictures.Image:
    """Noise whose filtered levels stay in 8 bits: Pillow clamps them after each direction."""
    levels = numpy.random.default_rng(width * height).integers(90, 166, (height, width, channels), dtype=numpy.uint8)
    return Pictures.fromarray(levels)


def near(found: Image, expected: Pictures.Image, within: float = LEVEL) -> bool:
    wanted = torch.from_numpy(numpy.array(expected)).float()[None] / 255
    return found.pixels.shape == wanted.shape and float((found.pixels - wanted).abs().max()) <= within


@pytest.mark.parametrize("filter", FILTERS)
@settings(max_examples=25)
@given(SIDES, SIDES, SIDES, SIDES)
def test_stretched_pictures_are_those_of_pillow(filter: Any, a: int, b: int, width: int, height: int) -> None:
    source = photograph(a, b)
    expected = source.resize((width, height), Pictures.Resampling[filter.upper()])
    assert near(ScaleImage(Image.from_pil(source), width, height, filter=filter), expected, 1.5 * LEVEL)


@pytest.mark.parametrize("fit", ["inside", "fill", "pad"])
@settings(max_examples=50)
@given(SIDES, SIDES, SIDES, SIDES)
def test_each_fit_is_a_function_of_pillow(fit: Any, a: int, b: int, width: int, height: int) -> None:
    """A picture whose sides become 0 in Pillow has 1 here."""
    source, method = photograph(a, b), Pictures.Resampling.BICUBIC
    found = ScaleImage(Image.from_pil(source), width, height, fit=fit, filter="bicubic", background="#804020")
    if fit == "fill":
        assert near(found, ImageOps.fit(source, (width, height), method), 1.5 * LEVEL)
    elif min(width / a, height / b) * min(a, b) > 1:
        made = ImageOps.contain(source, (width, height), method)
        if fit == "pad":
            made = ImageOps.pad(source, (width, height), method, color="#804020")
        assert near(found, made, 1.5 * LEVEL)


def test_a_part_is_kept_or_added_to_where_the_anchor_says() -> None:
    source = Image.from_pil(photograph(20, 10))
    left = ScaleImage(source, 10, 10, fit="fill", anchor="left")
    assert torch.equal(left.pixels, source.pixels[:, :, :10])
    below = ScaleImage(source, 20, 20, fit="pad", anchor="bottom right", background="white")
    assert torch.equal(below.pixels[:, 10:], source.pixels) and bool((below.pixels[:, :10] == 1).all())


def test_levels_between_those_of_8_bits_stay() -> None:
    fine = Image(torch.linspace(0, 1 / 255, 64)[None, None, :, None].expand(1, 4, 64, 3).contiguous())
    assert len({*ScaleImage(fine, 32, 4, filter="bilinear").pixels.flatten().tolist()}) > 30


def test_a_picture_of_the_size_is_given_back_bit_for_bit() -> None:
    source = Image.from_pil(photograph(7, 9, 4))
    for fit in ("stretch", "inside", "fill", "pad"):
        assert torch.equal(ScaleImage(source, 7, 9, fit=fit).pixels, source.pixels)
    assert torch.equal(ScaleImageBy(source, 1.0).pixels, source.pixels)


def test_colours_of_transparent_pixels_do_not_show() -> None:
    pixels = torch.zeros(1, 8, 8, 4)
    pixels[:, :, :4] = torch.tensor([1.0, 0.0, 0.0, 1.0])
    pixels[:, :, 4:] = torch.tensor([0.0, 1.0, 0.0, 0.0])
    small = ScaleImage(Image(pixels), 3, 3, filter="bilinear").pixels
    seen = small[small[..., 3] > 0.01]
    assert torch.allclose(seen[:, :3], torch.tensor([1.0, 0.0, 0.0]), atol=1e-5) and 0 < float(small[0, 1, 1, 3]) < 1


def test_filters_that_overshoot_end_where_levels_end() -> None:
    edge = torch.zeros(1, 4, 8, 3)
    edge[:, :, 4:] = 1
    large = ScaleImage(Image(edge), 64, 32, filter="lanczos").pixels
    assert large.min() == 0 and large.max() == 1
    assert ScaleImage(Image(edge * 4), 64, 32, filter="lanczos").pixels.max() == 4


@pytest.mark.parametrize(("filter", "mode"), ALIASED.items())
@pytest.mark.parametrize("size", [(7, 5), (30, 40)])
def test_filters_without_antialiasing_are_those_of_torch(filter: Any, mode: str, size: tuple[int, int]) -> None:
    pixels = torch.rand(2, 12, 16, 3)
    whole = interpolate(pixels.movedim(-1, 1), size[::-1], mode=mode).movedim(1, -1).clamp(0, 1)
    assert torch.equal(ScaleImage(Image(pixels), *size, filter=filter).pixels, whole)
    square = interpolate(pixels[:, :, 2:14].movedim(-1, 1), (6, 6), mode=mode).movedim(1, -1).clamp(0, 1)
    assert torch.equal(ScaleImage(Image(pixels), 6, 6, fit="fill", filter=filter).pixels, square)


def test_masks_are_scaled_as_pictures_are() -> None:
    mask = Mask(torch.rand(2, 12, 16))
    small = ScaleImage(mask, 8, 6, filter="box")
    assert isinstance(small, Mask)
    assert torch.allclose(small.coverage, torch.nn.functional.avg_pool2d(mask.coverage[:, None], 2)[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"width": 100, "height": 0}, (100, 75)),
        ({"width": 0, "height": 90, "multiple": 8}, (120, 88)),
        ({"width": 200, "height": 200, "fit": "inside"}, (200, 150)),
        ({"width": 201, "height": 201, "fit": "inside", "multiple": 8}, (200, 144)),
        ({"width": 201, "height": 77, "fit": "fill", "multiple": 8}, (200, 80)),
    ],
)
def test_a_side_may_be_left_out_and_sides_become_multiples(given: Any, size: tuple[int, int]) -> None:
    assert (ScaleImage(Image(torch.rand(1, 30, 40, 3)), **given)).pixels.shape[1:3] == size[::-1]


def test_factors_and_numbers_of_pixels_keep_the_proportions() -> None:
    source = Image(torch.rand(1, 30, 45, 3))
    assert ScaleImageBy(source, 0.5, multiple=4).pixels.shape[1:3] == (16, 24)
    assert ScaleImageToPixels(source, 0.25).pixels.shape[1:3] == (416, 624)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"width": 0, "height": 0}, "missing-input"),
        ({"width": 2**20, "height": 2**20}, "too-many-pixels"),
        ({"background": "mauvish"}, "unknown-colour"),
    ],
)
def test_what_cannot_be_made_is_a_problem_of_the_check(given: Any, code: str, tmp_path: Any) -> None:
    from weft.nodes import LoadImage

    Image(torch.rand(1, 8, 8, 3)).save(tmp_path / "a.png")
    with Graph() as graph:
        SaveImage(ScaleImage(LoadImage("a.png"), **given))
    engine = Engine(store=None, device="cpu", inputs=[tmp_path])
    assert {problem.code for problem in engine.check(graph).problems} == {code}


def test_more_pixels_than_the_limit_are_refused_before_they_are_made() -> None:
    engine = Engine(store=None, device="cpu", limits=Limits(max_pixels=100))
    with refused("too-many-pixels"):
        engine.run_now(ScaleImageBy, {"image": Image(torch.rand(1, 8, 8, 3)), "factor": 2.0})  # type: ignore[arg-type]
