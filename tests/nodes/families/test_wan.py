"""Clips of Wan equal those of diffusers' pipeline in every frame.

More samplers and a batch: `pytest -m slow tests/nodes/families/test_wan.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, Pixels, assert_same
from tests.refusals import refused
from weft.engine import Engine, Graph, Link
from weft.nodes import CFGGuide, EmptyLatent, EmptyVideoLatent, KSampler, LoadCheckpoint, TextEncode, VAEDecodeVideo
from weft.nodes.media_values import Video

STEPS, FRAMES, TOKENS = 3, 5, 226

Clip = Callable[..., Pixels]


@pytest.fixture(scope="module")
def theirs(models: Path, zoo: Callable[[str], str], oracle: Oracle) -> Clip:
    """The frames of diffusers' pipeline, `[clip, frame, height, width, 3]` of bytes.

    It cleans prompts by a package of its own before it encodes them; these are clean, and are given to it encoded.
    """
    zoo("wan")

    def made(sampler: str = "model", batch: int = 1, **call: Any) -> Pixels:
        pipe = oracle.pipeline("wan")
        pipe.scheduler = oracle.scheduler("wan", sampler, "model", {})
        pipe.set_progress_bar_config(disable=True)
        prompts = [encoded(pipe, text).repeat(batch, 1, 1) for text in (PROMPT, NEGATIVE)]
        seeds = [torch.Generator().manual_seed(SEED + item) for item in range(batch)]
        given = {"num_inference_steps": STEPS, "width": SIZE, "height": SIZE, "num_frames": FRAMES}
        found = pipe(
            prompt_embeds=prompts[0],
            negative_prompt_embeds=prompts[1],
            guidance_scale=SCALE,
            generator=seeds,
            output_type="np",
            **{**given, **call},
        ).frames
        return numpy.asarray((found * 255).round().astype("uint8"))

    return made


@torch.no_grad()
def encoded(pipe: Any, text: str) -> torch.Tensor:
    """A prompt as the pipeline encodes it: what is not read of it is zero."""
    options = {"padding": "max_length", "max_length": TOKENS, "truncation": True, "return_tensors": "pt"}
    tokens = pipe.tokenizer([text], return_attention_mask=True, **options)
    found = pipe.text_encoder(tokens.input_ids, tokens.attention_mask).last_hidden_state
    read: torch.Tensor = found * tokens.attention_mask[..., None]
    return read


def graph_of(frames: int = FRAMES, batch: int = 1, latent: Any = None, **sampling: Any) -> Graph:
    with Graph(outputs={"video": Link("vae_decode_video")}) as graph:
        loaded: Any = LoadCheckpoint("wan")
        prompts = [TextEncode(loaded.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        guide = CFGGuide(loaded.model, *prompts, scale=SCALE)
        start = latent() if latent else EmptyVideoLatent(SIZE, SIZE, frames, batch)
        sampled = KSampler(guide, start, **{"seed": SEED, "steps": STEPS, "sampler": "model", **sampling})
        VAEDecodeVideo(loaded.vae, sampled)
    return graph


def ours(engine: Engine, graph: Graph) -> Pixels:
    video = engine.run(graph).outputs["video"]
    assert isinstance(video, Video)
    return video.frames.numpy()


@pytest.mark.parametrize("sampler", ["model", "euler", "dpmpp_2m"])
def test_a_clip_equals_that_of_the_pipeline_in_every_frame(engine: Engine, theirs: Clip, sampler: str) -> None:
    assert_same(ours(engine, graph_of(sampler=sampler)), theirs(sampler)[0])


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["heun", "deis", "unipc", "dpmpp_3m"])
def test_a_clip_of_any_sampler_equals_that_of_the_pipeline(engine: Engine, theirs: Clip, sampler: str) -> None:
    assert_same(ours(engine, graph_of(sampler=sampler)), theirs(sampler)[0])


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 9])
@pytest.mark.parametrize("batch", [1, 2])
def test_clips_of_any_length_equal_those_of_the_pipeline(engine: Engine, theirs: Clip, frames: int, batch: int) -> None:
    both = theirs(batch=batch, num_frames=frames)
    assert_same(ours(engine, graph_of(frames, batch)), numpy.concatenate(both))


def test_what_is_no_clip_is_refused_before_a_run(engine: Engine, zoo: Callable[[str], str]) -> None:
    zoo("wan")
    with refused("wrong-size", 5, 9):
        engine.run(graph_of(frames=7))
    with refused("wrong-latent"):
        engine.run(graph_of(latent=lambda: EmptyLatent(SIZE, SIZE)))
