"""Objects at places that look like pictures, by GLIGEN, equal those of diffusers' own pipeline.

More: `pytest -m slow tests/nodes/families/test_gligen_pictures.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pictures

from tests.nodes.conftest import read_pixels
from tests.nodes.families.conftest import Folders
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, assert_same, diffusers
from tests.refusals import names
from weft.engine import Engine, Graph
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    EncodeImage,
    GroundPictures,
    GroundPrompt,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    LoadImageEncoder,
    LoadPictureProjection,
    SaveImage,
    TextEncode,
    VAEDecode,
)

STEPS = 2

BOXES = [[0.1, 0.2, 0.5, 0.9], [0.4, 0.5, 1.0, 1.0]]

Given = Sequence[tuple[str | None, str | None]]
"""The phrase and the picture of each object."""

OBJECTS: dict[str, Given] = {
    "pictures": [(None, "stripes.png"), (None, "ramp.png")],
    "a phrase and a picture": [("a red house", None), (None, "ramp.png")],
    "pictures with phrases": [("a red house", "stripes.png"), ("a lake", "ramp.png")],
    "one of two with a phrase": [(None, "stripes.png"), ("a lake", "ramp.png")],
    "phrases": [("a red house", None), ("a lake", None)],
}


@pytest.fixture(scope="module")
def gligen(folders: Folders) -> str:
    return folders("gligen-pictures")


def painting(model: str, given: Given, *, scale: float = SCALE, batch: int = 1, checkpoint: str = "") -> Graph:
    """Objects without a picture are placed first."""
    ground: Any = GroundPrompt
    show: Any = GroundPictures
    with Graph() as graph:
        loaded: Any = LoadCheckpoint(checkpoint or model)
        prompts: Any = [TextEncode(loaded.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        phrases = [str(phrase) for phrase, picture in given if not picture]
        if phrases:
            prompts = ground(*prompts, loaded.text_encoder, phrases, BOXES[: len(phrases)], end=1.0)
        shown = [(phrase or "", LoadImage(picture)) for phrase, picture in given if picture]
        if shown:
            named = [phrase for phrase, _ in shown]
            pictures: Any = [picture for _, picture in shown]
            prompts = show(
                *prompts,
                LoadPictureProjection(model),
                EncodeImage(LoadImageEncoder(model), pictures),
                BOXES[len(phrases) :],
                loaded.text_encoder if any(named) else None,
                named if any(named) else None,
                end=1.0,
            )
        positive, negative = prompts
        guide = CFGGuide(loaded.model, positive, negative, scale=scale)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE, batch), seed=SEED, steps=STEPS, sampler="euler")
        SaveImage(VAEDecode(loaded.vae, latent))
    return graph


@pytest.mark.parametrize("scale", [SCALE, pytest.param(1.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "case", [one if "and" in one or "of two" in one else pytest.param(one, marks=pytest.mark.slow) for one in OBJECTS]
)
def test_objects_that_look_like_pictures(
    engine: Engine, oracle: Oracle, gligen: str, pictures: Path, case: str, scale: float
) -> None:
    given = OBJECTS[case]
    theirs = oracle.run(
        diffusers.StableDiffusionGLIGENTextImagePipeline,
        "euler",
        model=gligen,
        batch=2,
        prompt=[PROMPT] * 2,
        negative_prompt=[NEGATIVE] * 2,
        guidance_scale=scale,
        gligen_phrases=[phrase for phrase, _ in given],
        gligen_images=[Pictures.open(pictures / picture) if picture else None for _, picture in given],
        gligen_boxes=BOXES,
        num_inference_steps=STEPS,
        height=SIZE,
        width=SIZE,
    )
    assert_same(read_pixels(engine.run(painting(gligen, given, scale=scale, batch=2)).paths), theirs)


def test_other_pictures_are_other_objects(engine: Engine, gligen: str, pictures: Path) -> None:
    first, second = (
        read_pixels(engine.run(painting(gligen, [(None, "stripes.png"), (None, one)])).paths)
        for one in ("ramp.png", "stripes.png")
    )
    assert (first != second).any()


def test_a_model_that_reads_phrases_alone_is_a_problem(
    engine: Engine, gligen: str, folders: Folders, pictures: Path
) -> None:
    graph = painting(gligen, OBJECTS["pictures"], checkpoint=folders("gligen"))
    (problem,) = engine.check(graph).problems
    assert (problem.code, problem.node, problem.input) == ("unsupported-by-model", "k_sampler", "guide")
    assert names(problem, "ground_pictures", "load_checkpoint")


def test_what_does_not_go_together_is_a_problem(engine: Engine, gligen: str, folders: Folders, pictures: Path) -> None:
    """A box too many, phrases without a text encoder, two ends, and the image encoder of another model."""
    plain = painting(gligen, OBJECTS["a phrase and a picture"])
    phrased = painting(gligen, OBJECTS["one of two with a phrase"])
    changes: list[tuple[Graph, dict[str, Any], str]] = [
        (plain, {"ground_pictures.boxes": BOXES}, "batch-mismatch"),
        (plain, {"ground_pictures.boxes": [[0.5, 0.2, 0.1, 0.9]]}, "out-of-range"),
        (plain, {"ground_pictures.end": 0.5}, "conflicting-inputs"),
        (plain, {"ground_pictures.phrases": ["a lake"]}, "missing-input"),
        (phrased, {"ground_pictures.phrases": ["a lake"]}, "batch-mismatch"),
        (plain, {"load_image_encoder.source": folders("unclip")}, "wrong-channels"),
        (plain, {"load_picture_projection.source": "epsilon"}, "wrong-kind-of-file"),
    ]
    codes = [[one.code for one in engine.check(graph.replace(change)).problems] for graph, change, _ in changes]
    assert codes == [[code] for _, _, code in changes]
