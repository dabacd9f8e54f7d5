"""The LoRAs of the embedded model change its style by their strength, and at strength 0 nothing.

Over 50 pictures, which takes some minutes: `pytest -m slow tests/nodes/builtin/test_style_loras.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

from weft.engine import Engine
from weft.nodes import (
    ApplyLoRAToModel,
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadLoRA,
    TextEncode,
    VAEDecode,
)
from weft.nodes.builtin.training.captions import full_caption
from weft.nodes.builtin.training.dataset import draw_scenes
from weft.nodes.builtin.training.scene import Scene

COUNTS = [1, pytest.param(50, marks=pytest.mark.slow)]
STEPS = {1: 4, 50: 8}
"""By the number of pictures."""


@pytest.fixture(scope="module")
def paint() -> Iterator[Any]:
    """Paints meadows before green mountains by day, as many as asked, with LoRAs of these strengths."""
    numbers = numpy.random.default_rng(5)
    plain = {"time": "day", "mountains": "green", "ground": "meadow"}
    captions = [full_caption(replace(one, **_placed(one, plain)), numbers) for one in draw_scenes(50, 21)]
    with Engine(store=None, device="cpu", history=False) as engine:

        def call(type: Any, **given: Any) -> Any:
            return engine.run_now(type, given)

        checkpoint = call(LoadCheckpoint, source="builtin:landscapes")

        def run(count: int, strengths: Mapping[str, float]) -> Tensor:
            model = checkpoint.model
            for name, strength in strengths.items():
                lora = call(LoadLoRA, source=f"builtin:landscapes-{name}")
                model = call(ApplyLoRAToModel, lora=lora, model=model, strength=strength)
            pictures = []
            for item, caption in enumerate(captions[:count]):
                texts = [call(TextEncode, text_encoder=checkpoint.text_encoder, text=text) for text in (caption, "")]
                guide = call(CFGGuide, model=model, positive=texts[0], negative=texts[1], scale=5.0)
                latent = call(EmptyLatent, width=128, height=128)
                painted = call(KSampler, guide=guide, latent=latent, seed=item, steps=STEPS[count])
                pictures.append(call(VAEDecode, vae=checkpoint.vae, latent=painted).pixels)
            return torch.cat(pictures)

        yield run


def _placed(scene: Scene, plain: Mapping[str, str]) -> dict[str, Any]:
    """The factors of a scene that are set; there are no boats on meadows."""
    return {**plain, **({"subject": "tree"} if scene.subject == "boat" else {})}


def green(pictures: Tensor) -> Tensor:
    """The share of each picture that is green."""
    red, green, blue = pictures.unbind(-1)
    return ((green > red + 0.04) & (green > blue + 0.04)).float().mean((1, 2))


def rust(pictures: Tensor) -> Tensor:
    """The share of each picture below the sky that has the colour of rust."""
    red, green, blue = pictures[:, 56:].unbind(-1)
    return ((red > green + 0.1) & (green > blue)).float().mean((1, 2))


def paleness(pictures: Tensor) -> Tensor:
    """The least of red, green and blue, in the rows in which mist is thickest."""
    return pictures[:, 68:84].amin(-1).mean((1, 2))


@pytest.mark.parametrize("count", COUNTS)
def test_autumn_turns_what_is_green_to_rust_by_its_strength(paint: Any, count: int) -> None:
    plain, half, whole = (paint(count, {"autumn": strength}) for strength in (0.0, 0.5, 1.0))
    assert torch.equal(plain, paint(count, {}))
    shares = [float(green(one).mean()) for one in (plain, half, whole)]
    turned = int((rust(whole) > rust(plain) + 0.2).sum())
    print(f"green at strength 0, 0.5 and 1: {shares}; more rust in {turned} of {count}")
    assert shares[0] > 0.3 and shares[0] > shares[1] > shares[2] and shares[2] < 0.25 * shares[0]
    assert turned >= 0.9 * count


@pytest.mark.parametrize("count", COUNTS)
def test_two_of_them_add_up(paint: Any, count: int) -> None:
    """Under both, what was green is rust, and the horizon lies in mist."""
    plain, mist, both = (paint(count, one) for one in ({}, {"mist": 1.0}, {"autumn": 1.0, "mist": 0.8}))
    pale = [float(paleness(one).mean()) for one in (plain, mist, both)]
    print(f"how pale the horizon is without, in mist, and in both: {pale}")
    assert pale[1] > pale[0] + 0.1 and pale[2] > pale[0] + 0.05
    assert float(green(both).mean()) < 0.5 * float(green(plain).mean())
    assert torch.equal(paint(1, {"autumn": 0.0, "mist": 0.0}), paint(1, {}))
