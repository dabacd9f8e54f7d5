"""Clips of HunyuanVideo 1.5 equal those of diffusers' pipelines in every frame.

More samplers, lengths and batches: `pytest -m "slow or not slow" tests/nodes/families/test_hunyuan_video.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures

from tests.nodes.families import lora_files
from tests.nodes.families.video_graphs import STEPS, frames_of, video_graph
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, Pixels, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine
from weft.nodes import ApplyLoRAToModel, EncodeImage, ImageToVideoGuide, LoadImage, LoadImageEncoder, LoadLoRA

FRAMES = 5
QUOTED = 'a sign that says "Weft" and “two”, by the lake'
MODEL, PICTURED = "hunyuan-video", "hunyuan-video-pictures"

Clip = Callable[..., Pixels]


@pytest.fixture(scope="module")
def theirs(zoo: Callable[[str], str], oracle: Oracle) -> Clip:
    """The frames of diffusers' pipelines, `[clip, frame, height, width, 3]` of bytes."""
    zoo(MODEL)
    zoo(PICTURED)

    def made(sampler: str = "model", schedule: str = "model", scale: float = SCALE, **call: Any) -> Pixels:
        model = PICTURED if "image" in call else MODEL
        pipe = oracle.pipeline(model)
        pipe.scheduler = oracle.scheduler(model, sampler, schedule, {})
        pipe.guider = diffusers.ClassifierFreeGuidance(guidance_scale=scale)
        pipe.set_progress_bar_config(disable=True)
        batch = call.pop("batch", 1)
        pipe.vae.use_slicing = True  # its attention takes one clip at a time
        sizes = {} if "image" in call else {"width": SIZE, "height": SIZE}
        given: dict[str, Any] = {"prompt": [PROMPT] * batch, "negative_prompt": [NEGATIVE] * batch, **sizes}
        given |= {"num_inference_steps": STEPS, "num_frames": FRAMES, "output_type": "np", **call}
        found = pipe(**given, generator=[torch.Generator().manual_seed(SEED + item) for item in range(batch)]).frames
        return (numpy.asarray(found) * 255).round().astype("uint8")

    return made


def begun(*, encoded: bool = True, ends: bool = False) -> Callable[[Any, Any, Any], Any]:
    """A guide whose clip begins with a picture."""

    def guided(guide: Any, loaded: Any, start: Any) -> Any:
        first, last = LoadImage("ramp.png"), LoadImage("stripes.png") if ends else None
        embedding = EncodeImage(LoadImageEncoder(PICTURED), first) if encoded else None
        return ImageToVideoGuide(guide, loaded.vae, start, first, last, embedding)

    return guided


@pytest.fixture
def ramp(pictures: Path) -> Any:
    return Pictures.open(pictures / "ramp.png")


WALKS = [("model", "model"), *(pytest.param("euler", one, marks=pytest.mark.slow) for one in ("karras", "beta"))]


@pytest.mark.slow
@pytest.mark.parametrize(("sampler", "schedule"), WALKS)
def test_a_clip_equals_that_of_the_pipeline_in_every_frame(
    engine: Engine, theirs: Clip, sampler: str, schedule: str
) -> None:
    made = frames_of(engine, video_graph(MODEL, FRAMES, sampler=sampler, schedule=schedule))
    assert_same(made, theirs(sampler, schedule)[0])


@pytest.mark.parametrize(("sampler", "schedule"), WALKS)
def test_a_clip_that_begins_with_a_picture_equals_that_of_the_pipeline(
    engine: Engine, theirs: Clip, ramp: Any, sampler: str, schedule: str
) -> None:
    graph = video_graph(PICTURED, FRAMES, guided=begun(), sampler=sampler, schedule=schedule)
    assert_same(frames_of(engine, graph), theirs(sampler, schedule, image=ramp)[0])


TEXTS = [(QUOTED, ""), (QUOTED, 'not "this"'), ("", NEGATIVE)]


@pytest.mark.parametrize("texts", [TEXTS[0], *(pytest.param(one, marks=pytest.mark.slow) for one in TEXTS[1:])])
def test_texts_in_quotes_are_read_as_in_the_pipeline(engine: Engine, theirs: Clip, texts: tuple[str, str]) -> None:
    made = frames_of(engine, video_graph(MODEL, FRAMES, texts=texts))
    given = dict(zip(("prompt", "negative_prompt"), texts, strict=True))
    assert_same(made, theirs(**given)[0])


@pytest.mark.slow
@pytest.mark.parametrize("size", [(96, 64), (64, 128)])
@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_clips_of_any_size_and_scale_equal_those_of_the_pipeline(
    engine: Engine, theirs: Clip, size: tuple[int, int], scale: float
) -> None:
    made = frames_of(engine, video_graph(MODEL, FRAMES, size=size, scale=scale))
    assert_same(made, theirs(scale=scale, width=size[0], height=size[1])[0])


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 9])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("pictured", [False, True])
def test_clips_of_any_length_equal_those_of_the_pipeline(
    engine: Engine, theirs: Clip, ramp: Any, frames: int, batch: int, pictured: bool
) -> None:
    picture = {"image": ramp} if pictured else {}
    both = theirs(batch=batch, num_frames=frames, **picture)
    graph = video_graph(PICTURED, frames, batch, guided=begun()) if pictured else video_graph(MODEL, frames, batch)
    assert_same(frames_of(engine, graph), numpy.concatenate(both))


@pytest.mark.slow
def test_a_lora_acts_as_in_the_pipeline(engine: Engine, theirs: Clip, oracle: Oracle, models: Path) -> None:
    network = oracle.pipeline(MODEL).transformer
    changes = lora_files.peft(lora_files.low_rank(network, 1, r"attn\.to_|ff\.net"), "transformer.")
    name = lora_files.save(changes, models / "hunyuan-lora.safetensors")
    network.load_lora_adapter(changes, prefix="transformer")
    try:
        want = theirs()[0]
    finally:
        network.delete_adapters("default_0")
    graph = video_graph(MODEL, FRAMES, changed=lambda model: ApplyLoRAToModel(LoadLoRA(name), model))
    assert_same(frames_of(engine, graph), want)
    assert numpy.abs(want.astype(int) - theirs()[0].astype(int)).max() > 5


def test_what_makes_no_clip_is_refused_before_a_run(engine: Engine, theirs: Clip) -> None:
    with refused("wrong-size", 5, 9):
        engine.run(video_graph(MODEL, 7))
    with refused("wrong-size", "96 x 64"):
        engine.run(video_graph(MODEL, FRAMES, size=(104, 64)))
    with refused("sampler-cannot-follow"):
        engine.run(video_graph(MODEL, FRAMES, sampler="ddim"))
    with refused("unsupported-by-model"):
        engine.run(video_graph(MODEL, FRAMES, guided=begun()))
    with refused("wrong-guide"):
        engine.run(video_graph(PICTURED, FRAMES))
    with refused("missing-input"):
        engine.run(video_graph(PICTURED, FRAMES, guided=begun(encoded=False)))
    with refused("unsupported-by-model"):
        engine.run(video_graph(PICTURED, FRAMES, guided=begun(ends=True)))
