"""Objects at places by GLIGEN equal those of diffusers' own pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.nodes.conftest import read_pixels
from tests.nodes.families.conftest import Folders
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, Pixels, assert_same, diffusers
from tests.refusals import names
from weft.engine import Engine, Graph
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    GroundPrompt,
    KSampler,
    LoadCheckpoint,
    SaveImage,
    TextEncode,
    VAEDecode,
)

STEPS = 4

PHRASES = ["a red house", "a lake"]
BOXES = [[0.1, 0.2, 0.5, 0.9], [0.4, 0.5, 1.0, 1.0]]


@pytest.fixture(scope="module")
def gligen(folders: Folders) -> str:
    return folders("gligen")


def painting(
    model: str,
    phrases: Sequence[str] = tuple(PHRASES),
    boxes: Sequence[Sequence[float]] = tuple(map(tuple, BOXES)),
    *,
    end: float = 0.5,
    scale: float = SCALE,
    batch: int = 1,
    sampler: Any = "euler",
) -> Graph:
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(model)
        prompts = [TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        ground: Any = GroundPrompt
        placed = ground(*prompts, checkpoint.text_encoder, [*phrases], [[*box] for box in boxes], end=end)
        guide = CFGGuide(checkpoint.model, placed.positive, placed.negative, scale=scale)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE, batch), seed=SEED, steps=STEPS, sampler=sampler)
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


def ours(engine: Engine, *given: Any, **options: Any) -> Pixels:
    return read_pixels(engine.run(painting(*given, **options)).paths)


@pytest.mark.parametrize(
    ("end", "scale", "sampler"), [(0.5, SCALE, "euler"), (1.0, 1.0, "ddim"), (0.3, SCALE, "dpmpp_2m")]
)
def test_objects_at_places(engine: Engine, oracle: Oracle, gligen: str, end: float, scale: float, sampler: str) -> None:
    theirs = oracle.run(
        diffusers.StableDiffusionGLIGENPipeline,
        sampler,
        model=gligen,
        batch=2,
        prompt=[PROMPT] * 2,
        negative_prompt=[NEGATIVE] * 2,
        guidance_scale=scale,
        gligen_phrases=PHRASES,
        gligen_boxes=BOXES,
        gligen_scheduled_sampling_beta=end,
        num_inference_steps=STEPS,
        height=SIZE,
        width=SIZE,
    )
    assert_same(ours(engine, gligen, end=end, scale=scale, batch=2, sampler=sampler), theirs)


def test_places_count_until_their_end(engine: Engine, gligen: str) -> None:
    never, until, other = (ours(engine, gligen, end=end) for end in (0.0, 0.5, 1.0))
    assert (never != until).any() and (until != other).any()


def test_a_model_without_its_layers_is_a_problem(engine: Engine) -> None:
    (problem,) = engine.check(painting("epsilon")).problems
    assert (problem.code, problem.node, problem.input) == ("unsupported-by-model", "k_sampler", "guide")
    assert names(problem, "ground_prompt", "load_checkpoint")


@pytest.mark.parametrize(
    ("boxes", "code"),
    [
        (BOXES[:1], "batch-mismatch"),
        ([BOXES[0], [0.4, 0.5, 1.0]], "out-of-range"),
        ([BOXES[0], [0.4, 0.5, 1.2, 1.0]], "out-of-range"),
        ([BOXES[0], [0.5, 0.5, 0.4, 1.0]], "out-of-range"),
    ],
)
def test_boxes_outside_of_the_picture_are_a_problem(
    engine: Engine, gligen: str, boxes: list[list[float]], code: str
) -> None:
    (problem,) = engine.check(painting(gligen, PHRASES, boxes)).problems
    assert (problem.code, problem.node, problem.input) == (code, "ground_prompt", "boxes") and problem.hint
