"""The embedded model repaints parts of pictures, and makes them wider.

Both over 100 pictures, which takes some minutes: `pytest -m slow tests/nodes/builtin/test_repainting.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures
from torch import Tensor

from weft.engine import Engine
from weft.nodes import (
    CFGGuide,
    CropToMask,
    Image,
    KSampler,
    LoadCheckpoint,
    Mask,
    PadImage,
    SetNoiseMask,
    StitchImage,
    TextEncode,
    VAEDecode,
    VAEEncode,
)
from weft.nodes.builtin.training.captions import full_caption
from weft.nodes.builtin.training.dataset import draw_scenes
from weft.nodes.builtin.training.render import render
from weft.nodes.builtin.training.scene import Scene

COUNTS = [1, pytest.param(100, marks=pytest.mark.slow)]
STEPS = 20
ADDED, STRIP = 64, 16
MARGIN = 3
"""Rows by which a horizon may go on higher or lower."""


@pytest.fixture(scope="module")
def painter() -> Iterator[Any]:
    """Calls nodes at once in an engine without a store, with the parts of the embedded model."""
    with Engine(store=None, device="cpu", history=False) as engine:

        def run(type: Any, **given: Any) -> Any:
            return engine.run_now(type, given)

        yield run


def drawn(scene: Scene) -> Image:
    return Image.from_pil(Pictures.fromarray(render(scene).pixels))


def repainted(
    call: Any, image: Image, mask: Mask, caption: str, seed: int, mode: str, scale: float, **sampling: Any
) -> Image:
    """A picture painted by a caption under a mask."""
    checkpoint = call(LoadCheckpoint, source="builtin:landscapes")
    texts = [call(TextEncode, text_encoder=checkpoint.text_encoder, text=text) for text in (caption, "")]
    guide = call(CFGGuide, model=checkpoint.model, positive=texts[0], negative=texts[1], scale=scale)
    latent = call(SetNoiseMask, latent=call(VAEEncode, vae=checkpoint.vae, image=image), mask=mask, mode=mode)
    painted = call(KSampler, guide=guide, latent=latent, seed=seed, **{"steps": STEPS, **sampling})
    decoded: Image = call(VAEDecode, vae=checkpoint.vae, latent=painted)
    return decoded


def house_box(place: str) -> Tensor:
    """Where a house stands at a place."""
    middle = {"left": 27, "centre": 64, "right": 101}[place]
    coverage = torch.zeros(1, 128, 128)
    coverage[:, 68:124, max(0, middle - 30) : middle + 30] = 1
    return coverage


def redness(pixels: Tensor, coverage: Tensor) -> float:
    """The share of a box that has the colour of a house's walls, by day."""
    red, green, blue = pixels[coverage > 0].unbind(-1)
    return float(((red > 0.5) & (red > 2 * green) & (red > 2 * blue)).float().mean())


def empty_scenes(count: int) -> list[Scene]:
    """Meadows by day with nothing on them, whose mountains are not red."""
    scenes = [replace(one, time="day", ground="meadow", subject="none") for one in draw_scenes(3 * count, 11)]
    return [one for one in scenes if one.mountains != "red"][:count]


@pytest.mark.parametrize("count", COUNTS)
def test_the_prompt_is_followed_inside_and_nothing_changes_outside(painter: Any, count: int) -> None:
    """A house stands where one is named, and none where none is."""
    numbers, houses, others = numpy.random.default_rng(5), 0, 0
    for item, scene in enumerate(empty_scenes(count)):
        picture, coverage = drawn(scene), house_box(scene.place)
        for subject in ("house", "none"):
            caption = full_caption(replace(scene, subject=subject), numbers)
            patch = repainted(painter, picture, Mask(coverage), caption, item, "hard", 5.0)
            pixels = painter(StitchImage, image=picture, patch=patch, mask=Mask(coverage)).pixels
            assert torch.equal(pixels[coverage == 0], picture.pixels[coverage == 0])
            found = redness(pixels, coverage) > 0.03
            houses += found and subject == "house"
            others += found and subject == "none"
    print(f"a house in {houses} of {count} where one is named, in {others} where none is")
    assert houses >= 0.95 * count and others <= 0.05 * count


def horizon(scene: Scene) -> int:
    """The row at which a scene's ground begins."""
    return round(float(numpy.random.default_rng([scene.seed, 0]).uniform(69, 75)))


def horizon_found(pixels: Tensor, columns: slice, near: int) -> int:
    """The row of the sharpest change of colour from one row to the next, near a row."""
    rows = pixels[:, columns].mean(1)
    changes = [float((rows[row] - rows[row - 1]).abs().sum()) for row in range(near - 12, near + 13)]
    return near - 12 + int(numpy.argmax(changes))


@pytest.mark.parametrize("count", COUNTS)
def test_outpainting_goes_on_from_the_horizon(painter: Any, count: int) -> None:
    """In the columns next to the seam; and what is not in the strip at the seam stays as it was.

    The sampler is that of graphs/outpaint.json.
    """
    numbers, right = numpy.random.default_rng(3), 0
    for item, one in enumerate(draw_scenes(count, 77)):
        scene = replace(one, subject="none")
        picture = drawn(scene)
        padded = painter(PadImage, image=picture, right=ADDED, feather=STRIP)
        crop = painter(CropToMask, image=padded.image, mask=padded.mask, width=128, height=128, padding=48)
        caption = full_caption(scene, numbers)
        given = (crop.image, crop.mask, caption, item, "differential", 4.0)
        patch = repainted(painter, *given, sampler="euler_ancestral", steps=25)
        whole = painter(StitchImage, image=padded.image, patch=patch, mask=padded.mask, region=crop.region).pixels[0]
        assert torch.equal(whole[:, : 128 - STRIP], picture.pixels[0, :, : 128 - STRIP])
        found = horizon_found(whole, slice(128, 144), horizon(scene))
        right += abs(found - horizon(scene)) <= MARGIN
    print(f"the horizon goes on within {MARGIN} rows in {right} of {count}")
    assert right >= (0.9 if count >= 100 else 0.6) * count
