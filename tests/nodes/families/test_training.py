"""Settings of a model's training equal diffusers' scheduler with the same configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, STEPS, Oracle, assert_same, diffusers
from weft.engine import Engine, Graph
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, SaveImage, TextEncode, VAEDecode


def configured(models: Path, **changes: str) -> str:
    """A copy of a model whose scheduler's configuration says something else; its name."""
    name = "-".join(("epsilon", *changes.values()))
    folder = shutil.copytree(models / "epsilon", models / name, dirs_exist_ok=True)
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    return name


@pytest.mark.parametrize("sampler", ["model", "ddim", "euler", "dpmpp_2m"])
@pytest.mark.parametrize(
    ("noise", "prediction", "theirs"),
    [
        ("linear", "epsilon", "linear"),
        ("scaled_linear", "v_prediction", "scaled_linear"),
        ("cosine", "epsilon", "squaredcos_cap_v2"),
        ("cosine", "v_prediction", "squaredcos_cap_v2"),
    ],
)
def test_noise_and_prediction_can_be_set(
    engine: Engine, oracle: Oracle, models: Path, sampler: Any, noise: Any, prediction: Any, theirs: str
) -> None:
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon", noise=noise, prediction=prediction)
        positive, negative = (TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE))
        guide = CFGGuide(checkpoint.model, positive, negative, scale=SCALE)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler=sampler)
        SaveImage(VAEDecode(checkpoint.vae, latent))
    model = configured(models, beta_schedule=theirs, prediction_type=prediction)
    painted = oracle.paint(diffusers.StableDiffusionPipeline, sampler, model=model, height=SIZE, width=SIZE)
    assert_same(read_pixels(engine.run(graph).paths), painted)
