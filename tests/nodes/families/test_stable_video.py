"""Clips of Stable Video Diffusion equal those of diffusers' pipeline in every frame.

The pipeline draws the noise for its picture and that of the latents by one generator. Here they have a seed each, so it
is given its latents.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures

from tests.nodes.families.video_graphs import beginning, frames_of, video_graph
from tests.nodes.oracle import SCALE, SEED, SIZE, Oracle, Pixels, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine
from weft.nodes import EncodeImage, LoadImage, LoadImageEncoder, MotionGuide

FRAMES, STEPS = 4, 3

Clip = Callable[..., Pixels]

WORDLESS = ("", "")
"""Its prompts."""

EDM = {"euler": "EDMEulerScheduler", "dpmpp_2m": "EDMDPMSolverMultistepScheduler"}


@pytest.fixture(scope="module")
def theirs(zoo: Callable[[str], str], oracle: Oracle, pictures: Path) -> Clip:
    """The frames of diffusers' pipeline, `[clip, frame, height, width, 3]` of bytes."""
    zoo("svd")
    zoo("wan")

    def made(sampler: str = "model", frames: int = FRAMES, **call: Any) -> Pixels:
        pipe = diffusers.StableVideoDiffusionPipeline(**oracle.pipeline("svd").components)
        pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
        if sampler != "model":
            levels = {"sigma_min": 0.002, "sigma_max": 700.0, "sigma_data": 1.0, "prediction_type": "v_prediction"}
            pipe.scheduler = getattr(diffusers, EDM[sampler])(**levels)
        pipe.set_progress_bar_config(disable=True)
        noise = torch.randn(1, frames, 4, SIZE // 2, SIZE // 2, generator=torch.Generator().manual_seed(SEED))
        found = pipe(
            image=Pictures.open(pictures / "ramp.png").convert("RGB"),
            latents=noise,
            generator=torch.Generator().manual_seed(5),
            num_frames=frames,
            num_inference_steps=STEPS,
            max_guidance_scale=SCALE,
            **{"width": SIZE, "height": SIZE, "output_type": "np", **call},
        ).frames
        return (numpy.asarray(found) * 255).round().astype("uint8")

    return made


def moving(**options: Any) -> Callable[[Any, Any, Any], Any]:
    """A guide for a picture in motion."""

    def guided(guide: Any, loaded: Any, start: Any) -> Any:
        picture = LoadImage("ramp.png")
        seen = EncodeImage(LoadImageEncoder("svd"), picture, whole=True)
        return MotionGuide(guide, loaded.vae, start, picture, seen, **{"seed": 5, **options})

    return guided


@pytest.mark.parametrize("sampler", ["model", "euler", "dpmpp_2m"])
def test_a_clip_equals_that_of_the_pipeline_in_every_frame(engine: Engine, theirs: Clip, sampler: str) -> None:
    graph = video_graph("svd", FRAMES, texts=WORDLESS, guided=moving(), sampler=sampler)
    assert_same(frames_of(engine, graph), theirs(sampler)[0])


def test_rate_motion_and_noise_act_as_in_the_pipeline(engine: Engine, theirs: Clip) -> None:
    graph = video_graph("svd", 6, texts=WORDLESS, guided=moving(rate=12, motion=60, noise=0.3, first_scale=2.0))
    given = {"fps": 12, "motion_bucket_id": 60, "noise_aug_strength": 0.3, "min_guidance_scale": 2.0}
    assert_same(frames_of(engine, graph), theirs(frames=6, **given)[0])


@pytest.mark.slow
def test_frames_are_decoded_in_chunks_as_in_the_pipeline(engine: Engine, theirs: Clip) -> None:
    graph = video_graph("svd", 5, texts=WORDLESS, guided=moving()).replace({"vae_decode_video.chunk": 2})
    made = frames_of(engine, graph)
    assert_same(made, theirs(frames=5, decode_chunk_size=2)[0])
    assert numpy.abs(made.astype(int) - theirs(frames=5)[0]).max() > 2


def test_what_sets_nothing_in_motion_is_refused_before_a_run(engine: Engine, theirs: Clip) -> None:
    with refused("wrong-guide"):
        engine.run(video_graph("svd", FRAMES, texts=WORDLESS))
    with refused("unsupported-by-model"):
        engine.run(video_graph("svd", FRAMES, texts=WORDLESS, guided=beginning()))
    with refused("unsupported-by-model"):
        engine.run(video_graph("wan", 5, guided=moving()))
