"""Clips of LTX-Video equal those of diffusers' pipelines in every frame.

More schedules, batches and lengths: `pytest -m slow tests/nodes/families/test_ltx_video.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image as Pictures

from tests.nodes.families.video_graphs import beginning, clip_of, frames_of, video_graph
from tests.nodes.oracle import Oracle, Pixels, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine

FRAMES = 9

Clip = Callable[..., Pixels]


@pytest.fixture(scope="module")
def theirs(zoo: Callable[[str], str], oracle: Oracle) -> Clip:
    """The frames of diffusers' pipelines, `[clip, frame, height, width, 3]` of bytes."""
    zoo("ltx")
    zoo("ltx-timed")

    def made(sampler: str = "model", schedule: str = "model", model: str = "ltx", **call: Any) -> Pixels:
        kind = diffusers.LTXImageToVideoPipeline if "image" in call else diffusers.LTXPipeline
        pipe = kind(**oracle.pipeline(model).components)
        pipe.scheduler = oracle.scheduler(model, sampler, schedule, {})
        return clip_of(pipe, **{"num_frames": FRAMES, **call})

    return made


WALKS = [("model", "model"), ("euler", "karras"), ("euler", "beta")]


@pytest.mark.parametrize(("sampler", "schedule"), WALKS)
def test_a_clip_equals_that_of_the_pipeline_in_every_frame(
    engine: Engine, theirs: Clip, sampler: str, schedule: str
) -> None:
    made = frames_of(engine, video_graph("ltx", FRAMES, sampler=sampler, schedule=schedule))
    assert_same(made, theirs(sampler, schedule)[0])


@pytest.mark.parametrize(("sampler", "schedule"), WALKS)
def test_a_clip_that_begins_with_a_picture_equals_that_of_the_pipeline(
    engine: Engine, theirs: Clip, pictures: Path, sampler: str, schedule: str
) -> None:
    graph = video_graph("ltx", FRAMES, guided=beginning(sample=True), sampler=sampler, schedule=schedule)
    assert_same(frames_of(engine, graph), theirs(sampler, schedule, image=Pictures.open(pictures / "ramp.png"))[0])


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 17])
@pytest.mark.parametrize("rate", [25, 12.5])
@pytest.mark.parametrize("batch", [1, 2])
def test_clips_of_any_length_and_rate_equal_those_of_the_pipeline(
    engine: Engine, theirs: Clip, frames: int, rate: float, batch: int
) -> None:
    both = theirs(batch=batch, num_frames=frames, frame_rate=rate)
    assert_same(frames_of(engine, video_graph("ltx", frames, batch, rate=rate)), numpy.concatenate(both))


def test_a_vae_that_takes_out_noise_decodes_as_in_the_pipeline(engine: Engine, theirs: Clip) -> None:
    assert_same(frames_of(engine, video_graph("ltx-timed", FRAMES)), theirs(model="ltx-timed")[0])


def test_what_makes_no_clip_is_refused_before_a_run(engine: Engine, theirs: Clip) -> None:
    with refused("wrong-size", 9, 17):
        engine.run(video_graph("ltx", 11))
    with refused("unsupported-by-model"):
        engine.run(video_graph("ltx", FRAMES, guided=beginning(ends=True)))
    with refused("sampler-cannot-follow"):
        engine.run(video_graph("ltx", FRAMES, sampler="ddim"))
