"""A part of a picture is cut out around its mask, and put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pictures

from tests.nodes.conftest import read_pixels
from tests.nodes.families.test_inpainting import guide
from tests.nodes.oracle import SEED, SIZE, STEPS, Oracle, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import (
    CropRegion,
    CropToMask,
    Image,
    ImageToMask,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    Mask,
    SaveImage,
    SetNoiseMask,
    StitchImage,
    VAEDecode,
    VAEEncode,
)

LARGE = 96


@st.composite
def boxes(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """A size, and a box in it."""
    width, height = draw(st.integers(8, 80)), draw(st.integers(8, 80))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return (width, height), (left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height)))


@settings(max_examples=60)
@given(boxes(), st.integers(0, 40), st.sampled_from([(64, 64), (96, 64), (32, 128)]))
def test_the_part_is_the_one_that_diffusers_finds(call: Any, box: Any, padding: int, wanted: tuple[int, int]) -> None:
    """Of it, what lies within the picture."""
    (width, height), (left, top, right, bottom) = box
    marked = numpy.zeros((height, width), "uint8")
    marked[top:bottom, left:right] = 255
    region = call(
        CropToMask,
        image=Image(torch.zeros(1, height, width, 3)),
        mask=Mask(torch.from_numpy(marked)[None].float() / 255),
        width=wanted[0],
        height=wanted[1],
        padding=padding,
    ).region
    find = diffusers.image_processor.VaeImageProcessor.get_crop_region
    x1, y1, x2, y2 = find(Pictures.fromarray(marked), *wanted, pad=padding)
    assert (region.left, region.top) == (x1, y1)
    assert (region.left + region.width, region.top + region.height) == (min(x2, width), min(y2, height))


@pytest.fixture(scope="module")
def large(pictures: Path) -> tuple[Path, Path]:
    """A picture of noise and a box, whose padding makes a part of the size of the model."""
    noise = numpy.random.default_rng(1).integers(0, 255, (LARGE, LARGE, 3), dtype="uint8")
    Pictures.fromarray(noise).save(pictures / "large.png")
    marked = numpy.zeros((LARGE, LARGE), "uint8")
    marked[30:62, 50:82] = 255
    Pictures.fromarray(marked).save(pictures / "box.png")
    return pictures / "large.png", pictures / "box.png"


def test_a_part_is_repainted_as_by_padding_mask_crop(engine: Engine, oracle: Oracle, large: tuple[Path, Path]) -> None:
    with Graph() as graph:
        checkpoint, picture = LoadCheckpoint("epsilon"), LoadImage("large.png")
        mask = ImageToMask(LoadImage("box.png"))
        crop = CropToMask(picture, mask, SIZE, SIZE, padding=16)
        latent = SetNoiseMask(VAEEncode(checkpoint.vae, crop.image, sample=True), crop.mask)
        painted = KSampler(guide(checkpoint), latent, seed=SEED, steps=STEPS, sampler="ddim", denoise=0.8)
        SaveImage(StitchImage(picture, VAEDecode(checkpoint.vae, painted), mask, crop.region))
    ours = read_pixels(engine.run(graph).paths)
    given, box = map(Pictures.open, large)
    theirs = oracle.paint(
        diffusers.StableDiffusionInpaintPipeline,
        "ddim",
        image=given,
        mask_image=box,
        padding_mask_crop=16,
        strength=0.8,
        height=SIZE,
        width=SIZE,
    )
    assert_same(ours, theirs)
    outside = numpy.asarray(box) == 0
    assert (ours[0][outside] == numpy.asarray(given)[outside]).all()


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_pixels_outside_stay_exactly_as_they_were(call: Any, seed: int, scale: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    picture = Image(torch.rand(1, 40, 56, 4, generator=generator) * 3 - 1)
    coverage = (torch.rand(1, 40, 56, generator=generator) - 0.5).clamp(0) * (torch.arange(56) > 20)
    region = CropRegion(8, 4, 40, 30)
    patch = Image(torch.rand(1, 8 * scale, 16, 3, generator=generator))
    result = call(StitchImage, image=picture, patch=patch, mask=Mask(coverage), region=region).pixels
    within = torch.zeros(40, 56, dtype=torch.bool)
    within[4:34, 8:48] = True
    kept = (coverage[0] == 0) | ~within
    assert torch.equal(result[0][kept], picture.pixels[0][kept])
    assert torch.equal(result[..., 3], picture.pixels[..., 3])


def test_a_batch_is_cut_at_one_place(call: Any) -> None:
    masks = torch.zeros(2, 64, 64)
    masks[0, 10, 10] = masks[1, 30, 20] = 1
    cut = call(CropToMask, image=Image(torch.rand(2, 64, 64, 3)), mask=Mask(masks), width=32, height=32, padding=4)
    assert cut.image.pixels.shape == (2, 32, 32, 3) and cut.mask.coverage.shape == (2, 32, 32)
    assert cut.region.top <= 6 and cut.region.top + cut.region.height >= 35


def test_what_does_not_fit_is_refused(call: Any) -> None:
    picture, nothing = Image(torch.rand(1, 64, 64, 3)), Mask(torch.zeros(1, 64, 64))
    with refused("empty-mask"):
        call(CropToMask, image=picture, mask=nothing, width=32, height=32)
    with refused("size-mismatch"):
        call(StitchImage, image=picture, patch=picture, mask=Mask(torch.zeros(1, 32, 64)))
    with refused("size-mismatch"):
        call(StitchImage, image=picture, patch=picture, mask=nothing, region=CropRegion(40, 0, 32, 32))
    with refused("batch-mismatch"):
        patch = Image(torch.rand(3, 64, 64, 3))
        call(StitchImage, image=Image(torch.rand(2, 64, 64, 3)), patch=patch, mask=nothing)
