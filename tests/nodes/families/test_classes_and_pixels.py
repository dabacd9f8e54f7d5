"""Models that paint pixels themselves, and of classes, equal diffusers' own pipelines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import SEED, SIZE, STEPS, Oracle, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, SaveImage, TextEncode, VAEDecode

SIDE = 32


def painted(engine: Engine, model: str, text: str = "", batch: int = 2, side: int = SIDE, **options: Any) -> Any:
    """Pictures of a checkpoint by the same nodes as of any other."""
    guidance = {name: options.pop(name) for name in ("scale",) if name in options}
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, text), **guidance)
        latent = KSampler(guide, EmptyLatent(side, side, batch), **{"seed": SEED, "steps": STEPS, **options})
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return read_pixels(engine.run(graph).paths)


@pytest.mark.parametrize("sampler", ["model", "ddpm", "ddim", "dpmpp_2m", "dpmpp_2m_sde"])
def test_ddpm(zoo: Any, engine: Engine, oracle: Oracle, sampler: str) -> None:
    theirs = oracle.run(diffusers.DDPMPipeline, sampler, model=zoo("ddpm"), batch=2, batch_size=2)
    assert_same(painted(engine, "ddpm", sampler=sampler), theirs)


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize(("model", "text"), [("consistency", ""), ("consistency-classes", "7")])
def test_consistency_models(zoo: Any, engine: Engine, oracle: Oracle, model: str, text: str, steps: int) -> None:
    kind = diffusers.ConsistencyModelPipeline
    labels = {"class_labels": [int(text)] * 2} if text else {}
    options: dict[str, Any] = {"batch_size": 2, "num_inference_steps": steps, **labels}
    theirs = oracle.run(kind, "model", model=zoo(model), batch=2, **options)
    assert_same(painted(engine, model, text, sampler="model", steps=steps), theirs)


@pytest.mark.parametrize("scale", [4.0, 1.0])
@pytest.mark.parametrize("sampler", ["model", "ddim", "dpmpp_2m", "deis", "unipc", "pndm"])
def test_dit(zoo: Any, engine: Engine, oracle: Oracle, sampler: str, scale: float) -> None:
    """By the name and by the number of a class."""
    labels: dict[str, Any] = {"class_labels": [207, 207], "guidance_scale": scale}
    theirs = oracle.run(diffusers.DiTPipeline, sampler, model=zoo("dit"), batch=2, **labels)
    for text in ("golden retriever", "207"):
        assert_same(painted(engine, "dit", text, side=SIZE, sampler=sampler, scale=scale), theirs)


def test_a_consistency_model_has_its_own_sampler(zoo: Any, engine: Engine) -> None:
    with refused("sampler-cannot-follow", "euler", "model"):
        painted(engine, zoo("consistency"), sampler="euler")


@pytest.mark.parametrize(
    ("model", "text", "code", "values"),
    [
        ("ddpm", "a house", "unsupported-by-model", ["a house"]),
        ("dit", "golden retreiver", "unknown-class", ["golden retriever"]),
        ("consistency-classes", "", "unknown-class", [0, 9]),
        ("consistency-classes", "10", "unknown-class", [0, 9]),
    ],
)
def test_a_text_that_a_model_does_not_read_is_refused(
    zoo: Any, engine: Engine, model: str, text: str, code: str, values: list[str | float]
) -> None:
    with refused(code, *values):
        painted(engine, zoo(model), text, sampler="model")
