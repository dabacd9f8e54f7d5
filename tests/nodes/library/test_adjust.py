"""The look of pictures, held to Pillow's enhancers and to what matched colours must have."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures
from PIL import ImageEnhance, ImageFilter

from weft.nodes import AdjustColours, BlurImage, Image, InvertImage, Mask, MatchColours, SetLevels, SharpenImage
from weft.nodes.pictures.colours import lab_to_srgb, srgb_to_lab

CHANCE = torch.Generator().manual_seed(3)
COARSE = torch.rand(1, 3, 9, 12, generator=CHANCE) * 0.6 + 0.2
SMOOTH = torch.nn.functional.interpolate(COARSE, (36, 48), mode="bicubic").movedim(1, -1)
PICTURE = Image(((SMOOTH * 255).round() / 255).contiguous())
OTHER = Image(PICTURE.pixels.flip(1) * torch.tensor([0.8, 0.7, 0.6]) + 0.15)
WITH_ALPHA = Image(torch.cat([PICTURE.pixels, PICTURE.pixels[..., :1]], -1))
SOURCE = PICTURE.to_pil()[0]


def off(found: Image, expected: Pictures.Image) -> float:
    return float(numpy.abs(found.pixels[0].numpy() * 255 - numpy.asarray(expected)).max())


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.3, 2.0])
@pytest.mark.parametrize(
    ("input", "enhancer"), [("brightness", "Brightness"), ("contrast", "Contrast"), ("saturation", "Color")]
)
def test_factors_are_those_of_pillow(input: str, enhancer: str, factor: float) -> None:
    expected = getattr(ImageEnhance, enhancer)(SOURCE).enhance(factor)
    given: dict[str, Any] = {input: factor}
    assert off(AdjustColours(PICTURE, **given), expected) <= 1 + abs(1 - factor)


def test_gamma_and_hue_are_their_formulas() -> None:
    assert torch.allclose(AdjustColours(PICTURE, gamma=2.0).pixels, PICTURE.pixels.sqrt(), atol=1e-6)
    red = Image(torch.tensor([0.5, 0.25, 0.25]).expand(1, 2, 2, 3).contiguous())
    turned = AdjustColours(red, hue=120.0).pixels[0, 0, 0]
    assert turned.argmax() == 1
    luma = torch.tensor([0.213, 0.715, 0.072])
    assert float(turned @ luma) == pytest.approx(float(red.pixels[0, 0, 0] @ luma), abs=1e-3)


IDENTITIES: dict[str, Any] = {
    "adjust": lambda image: AdjustColours(image),
    "levels": lambda image: SetLevels(image),
    "blur": lambda image: BlurImage(image, 0.0),
    "sharpen": lambda image: SharpenImage(image, 0.0),
    "match": lambda image: MatchColours(image, OTHER, strength=0.0),
}


@pytest.mark.parametrize("name", IDENTITIES)
@pytest.mark.parametrize("image", [PICTURE, WITH_ALPHA])
def test_settings_that_change_nothing_give_the_same_pixels(name: str, image: Image) -> None:
    assert torch.equal(IDENTITIES[name](image).pixels, image.pixels)


def test_blurs_are_those_of_pillow_away_from_the_edge() -> None:
    for kind, expected in (("box", ImageFilter.BoxBlur(2)), ("median", ImageFilter.MedianFilter(5))):
        made = BlurImage(PICTURE, 2.0, kind=kind).pixels[0, 3:-3, 3:-3].numpy() * 255  # type: ignore[arg-type]
        assert numpy.abs(made - numpy.asarray(SOURCE.filter(expected))[3:-3, 3:-3]).max() <= 1
    spread = BlurImage(Mask(torch.nn.functional.pad(torch.ones(1, 1, 1), (20,) * 4)), 2.0).coverage[0].numpy()
    places = numpy.arange(-20, 21)
    assert spread.sum() == pytest.approx(1, abs=1e-3) and (spread.sum(0) * places**2).sum() == pytest.approx(
        4, rel=0.01
    )


def test_what_is_transparent_does_not_show_in_a_blur() -> None:
    pixels = torch.zeros(1, 9, 9, 4)
    pixels[..., 1] = 1
    pixels[:, :, :4] = torch.tensor([1.0, 0.0, 0.0, 1.0])
    made = BlurImage(Image(pixels), 2.0).pixels
    assert torch.allclose(made[made[..., 3] > 0.01][:, :2], torch.tensor([1.0, 0.0]), atol=1e-4)


def test_sharpening_adds_what_a_blur_takes_away() -> None:
    made = SharpenImage(WITH_ALPHA, 1.0, radius=2.0).pixels
    expected = 2 * PICTURE.pixels - BlurImage(PICTURE, 2.0).pixels
    assert torch.allclose(made[..., :3], expected.clamp(0, 1), atol=1e-6)
    assert torch.equal(made[..., 3], WITH_ALPHA.pixels[..., 3])
    assert torch.equal(SharpenImage(PICTURE, 1.0, threshold=1.0).pixels, PICTURE.pixels)


def test_a_blur_that_is_cut_off_is_its_kernel_over_the_mirrored_picture() -> None:
    pixels = PICTURE.pixels.movedim(-1, 1)
    place = torch.arange(-3.0, 4.0)
    kernel = torch.exp(-(place[:, None] ** 2 + place**2) / (2 * 2.5**2))
    padded = torch.nn.functional.pad(pixels, (3, 3, 3, 3), mode="reflect")
    weights = (kernel / kernel.sum()).expand(3, 1, 7, 7)
    expected = torch.nn.functional.conv2d(padded, weights, groups=3).movedim(1, -1)
    assert torch.allclose(BlurImage(PICTURE, 2.5, reach=3).pixels, expected, atol=1e-5)
    sharp = SharpenImage(PICTURE, 2.0, radius=2.5, reach=3).pixels
    assert torch.allclose(sharp, (3 * PICTURE.pixels - 2 * expected).clamp(0, 1), atol=1e-5)


def test_levels_spread_from_black_to_white() -> None:
    ramp = Mask(torch.linspace(0, 1, 11)[None, None])
    assert SetLevels(ramp, 0.2, 0.7).coverage[0, 0].tolist() == pytest.approx([0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1])
    assert torch.allclose(SetLevels(ramp, low=1.0, high=0.0).coverage, 1 - ramp.coverage)
    assert torch.equal(InvertImage(ramp).coverage, 1 - ramp.coverage)


def test_lab_is_that_of_published_colours_and_leads_back() -> None:
    red = srgb_to_lab(torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))
    assert red[0].tolist() == pytest.approx([53.24, 80.09, 67.20], abs=0.02)
    assert red[1].tolist() == pytest.approx([100, 0, 0], abs=0.01)
    assert torch.allclose(lab_to_srgb(srgb_to_lab(PICTURE.pixels)), PICTURE.pixels, atol=1e-4)


def test_matched_colours_have_the_statistics_of_the_reference() -> None:
    """Where no colour has to be clamped."""

    def rows(image: Image) -> torch.Tensor:
        return image.pixels.reshape(-1, 3)

    lab = srgb_to_lab(rows(MatchColours(PICTURE, OTHER)))
    wanted = srgb_to_lab(rows(OTHER))
    assert torch.allclose(lab.mean(0), wanted.mean(0), atol=0.5) and torch.allclose(lab.std(0), wanted.std(0), atol=0.5)
    moved = rows(MatchColours(PICTURE, OTHER, method="covariance"))
    assert torch.allclose(moved.T.cov(), rows(OTHER).T.cov(), atol=2e-3)
    same = rows(MatchColours(PICTURE, OTHER, method="histogram"))
    assert torch.allclose(same.sort(0).values, rows(OTHER).sort(0).values, atol=0.02)


def test_a_picture_matched_to_itself_stays() -> None:
    for method in ("mean", "covariance", "histogram"):
        made = MatchColours(WITH_ALPHA, PICTURE, method=method).pixels
        assert torch.allclose(made, WITH_ALPHA.pixels, atol=2e-3)
