"""Clips of CogVideoX equal those of diffusers' pipelines in every frame.

More samplers, batches and lengths: `pytest -m slow tests/nodes/families/test_cogvideox.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures

from tests.nodes.families.video_graphs import beginning, clip_of, frames_of, video_graph
from tests.nodes.oracle import CLASSES, Oracle, Pixels, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine

FRAMES = 9

PATCHED, PATCHED_PICTURES = "cogvideox-patched", "cogvideox-patched-pictures"

MODELS = ("cogvideox", "cogvideox-turned", "cogvideox-pictures", "cogvideox-learned", PATCHED, PATCHED_PICTURES)

Clip = Callable[..., Pixels]


def shifted(scheduler: Any) -> dict[str, Any]:
    """The configuration of another class for the noise schedule of a pipeline, by the betas that it has."""
    whole = type(scheduler).from_config(scheduler.config, rescale_betas_zero_snr=False)
    signals = torch.cat([torch.ones(1, dtype=torch.float64), whole.alphas_cumprod.double()])
    return {**scheduler.config, "trained_betas": (1 - signals[1:] / signals[:-1]).tolist(), "clip_sample": False}


@pytest.fixture(scope="module")
def theirs(zoo: Callable[[str], str], oracle: Oracle) -> Clip:
    """The frames of diffusers' pipelines, `[clip, frame, height, width, 3]` of bytes."""
    for name in MODELS:
        zoo(name)

    def made(sampler: str = "model", model: str = "cogvideox", **call: Any) -> Pixels:
        loaded = oracle.pipeline(model)
        pipe = type(loaded)(**loaded.components)
        pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
        if sampler != "model":
            name, options = CLASSES[sampler]
            pipe.scheduler = getattr(diffusers, name).from_config({**shifted(pipe.scheduler), **options})
        return clip_of(pipe, **{"num_frames": FRAMES, **call})

    return made


SAMPLERS = ["model", "euler", "dpmpp_2m"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_clip_equals_that_of_the_pipeline_in_every_frame(engine: Engine, theirs: Clip, sampler: str) -> None:
    assert_same(frames_of(engine, video_graph("cogvideox", FRAMES, sampler=sampler)), theirs(sampler)[0])


def test_a_clip_of_dpm_solver_with_noise_equals_that_of_the_pipeline(engine: Engine, theirs: Clip) -> None:
    made = frames_of(engine, video_graph("cogvideox-turned", FRAMES, steps=4))
    assert_same(made, theirs(model="cogvideox-turned", num_inference_steps=4)[0])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_clip_that_begins_with_a_picture_equals_that_of_the_pipeline(
    engine: Engine, theirs: Clip, pictures: Path, sampler: str
) -> None:
    graph = video_graph("cogvideox-pictures", FRAMES, guided=beginning(sample=True), sampler=sampler)
    picture = Pictures.open(pictures / "ramp.png")
    assert_same(frames_of(engine, graph), theirs(sampler, "cogvideox-pictures", image=picture)[0])


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["ddim", "unipc", "dpmpp_3m"])
def test_a_clip_of_any_sampler_equals_that_of_the_pipeline(engine: Engine, theirs: Clip, sampler: str) -> None:
    assert_same(frames_of(engine, video_graph("cogvideox", FRAMES, sampler=sampler)), theirs(sampler)[0])


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 17, 25])
@pytest.mark.parametrize("batch", [1, 2])
def test_clips_of_any_length_equal_those_of_the_pipeline(engine: Engine, theirs: Clip, frames: int, batch: int) -> None:
    both = theirs(batch=batch, num_frames=frames)
    assert_same(frames_of(engine, video_graph("cogvideox", frames, batch)), numpy.concatenate(both))


@pytest.mark.parametrize("frames", [9, *(pytest.param(one, marks=pytest.mark.slow) for one in (1, 17))])
@pytest.mark.parametrize("sampler", ["model", *(pytest.param(one, marks=pytest.mark.slow) for one in SAMPLERS[1:])])
def test_a_clip_of_version_1_5_equals_that_of_the_pipeline(
    engine: Engine, theirs: Clip, frames: int, sampler: str
) -> None:
    made = frames_of(engine, video_graph(PATCHED, frames, sampler=sampler))
    assert_same(made, theirs(sampler, PATCHED, num_frames=frames)[0])


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_clip_of_version_1_5_that_begins_with_a_picture_equals_that_of_the_pipeline(
    engine: Engine, theirs: Clip, pictures: Path, sampler: str, batch: int
) -> None:
    graph = video_graph(PATCHED_PICTURES, FRAMES, batch, guided=beginning(sample=True), sampler=sampler)
    both = theirs(sampler, PATCHED_PICTURES, batch=batch, image=[Pictures.open(pictures / "ramp.png")] * batch)
    assert_same(frames_of(engine, graph), numpy.concatenate(both))


def test_what_makes_no_clip_is_refused_before_a_run(engine: Engine, theirs: Clip) -> None:
    with refused("wrong-size", 9, 17):
        engine.run(video_graph("cogvideox", 13))
    with refused("unsupported-by-model"):
        engine.run(video_graph("cogvideox", FRAMES, guided=beginning()))
    with refused("wrong-size", 96, 64):
        engine.run(video_graph("cogvideox-learned", FRAMES))
    with refused("wrong-size", 64):
        engine.run(video_graph(PATCHED, FRAMES, size=(96, 64)))
    with refused("wrong-guide"):
        engine.run(video_graph("cogvideox-pictures", FRAMES))
