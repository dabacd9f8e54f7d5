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
from PIL import Image as Pictures

from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, Pixels, assert_same
from tests.refusals import refused
from weft.engine import Engine, Graph, Link
from weft.nodes import (
    BatchImages,
    CFGGuide,
    EmptyLatent,
    EmptyVideoLatent,
    EncodeImage,
    ImageToVideoGuide,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    LoadImageEncoder,
    TextEncode,
    VAEDecodeVideo,
)
from weft.nodes.media_values import Video

STEPS, FRAMES, TOKENS = 3, 5, 226

Clip = Callable[..., Pixels]


@pytest.fixture(scope="module")
def theirs(zoo: Callable[[str], str], oracle: Oracle) -> Clip:
    """The frames of diffusers' pipelines, `[clip, frame, height, width, 3]` of bytes.

    They clean prompts by a package of its own before they encode them; these are clean, and are given encoded.
    """
    for name in ("wan", "wan-pictures", "wan-ends"):
        zoo(name)

    def made(sampler: str = "model", batch: int = 1, model: str = "wan", **call: Any) -> Pixels:
        pipe = oracle.pipeline(model)
        pipe.scheduler = oracle.scheduler(model, sampler, "model", {})
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


def graph_of(
    frames: int = FRAMES,
    batch: int = 1,
    latent: Any = None,
    model: str = "wan",
    guided: Callable[[Any, Any, Any], Any] = lambda guide, loaded, start: guide,
    **sampling: Any,
) -> Graph:
    """A clip.

    Args:
        guided: makes another guide, of a guide, the checkpoint and the latent.
    """
    with Graph(outputs={"video": Link("vae_decode_video")}) as graph:
        loaded: Any = LoadCheckpoint(model)
        prompts = [TextEncode(loaded.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        start = latent() if latent else EmptyVideoLatent(SIZE, SIZE, frames, batch)
        guide = guided(CFGGuide(loaded.model, *prompts, scale=SCALE), loaded, start)
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


def test_what_a_clip_begins_with_is_held_to_the_model_before_a_run(engine: Engine, theirs: Clip) -> None:
    with refused("unsupported-by-model"):
        engine.run(graph_of(guided=beginning()))
    with refused("wrong-guide"):
        engine.run(graph_of(model="wan-pictures"))
    with refused("missing-input"):
        engine.run(graph_of(model="wan-pictures", guided=beginning(encoded=False)))
    with refused("size-mismatch"):
        engine.run(graph_of(model="wan-pictures", latent=lambda: EmptyVideoLatent(96, 64, 5), guided=beginning()))


def test_what_is_no_clip_is_refused_before_a_run(engine: Engine, zoo: Callable[[str], str]) -> None:
    zoo("wan")
    with refused("wrong-size", 5, 9):
        engine.run(graph_of(frames=7))
    with refused("wrong-latent"):
        engine.run(graph_of(latent=lambda: EmptyLatent(SIZE, SIZE)))


def beginning(model: str = "wan-pictures", *, ends: bool = False, encoded: bool = True) -> Any:
    """A guide whose clip begins with a picture, and perhaps ends with one."""

    def guided(guide: Any, loaded: Any, start: Any) -> Any:
        first, last = LoadImage("ramp.png"), LoadImage("stripes.png") if ends else None
        shown = BatchImages([first, last]) if last else first
        embedding = EncodeImage(LoadImageEncoder(model), shown) if encoded else None
        return ImageToVideoGuide(guide, loaded.vae, start, first, last, embedding)

    return guided


@pytest.fixture
def shown(pictures: Path) -> list[Any]:
    return [Pictures.open(pictures / f"{name}.png") for name in ("ramp", "stripes")]


@pytest.mark.parametrize("sampler", ["model", "euler", "dpmpp_2m"])
def test_a_clip_that_begins_with_a_picture_equals_that_of_the_pipeline(
    engine: Engine, theirs: Clip, shown: list[Any], sampler: str
) -> None:
    made = ours(engine, graph_of(model="wan-pictures", guided=beginning(), sampler=sampler))
    assert_same(made, theirs(sampler, model="wan-pictures", image=shown[0])[0])


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["model", "euler", "dpmpp_2m"])
def test_clips_between_two_pictures_equal_those_of_the_pipeline(
    engine: Engine, theirs: Clip, shown: list[Any], sampler: str
) -> None:
    guided = beginning("wan-ends", ends=True)
    made = ours(engine, graph_of(9, model="wan-ends", guided=guided, sampler=sampler))
    first, last = shown
    assert_same(made, theirs(sampler, model="wan-ends", image=first, last_image=last, num_frames=9)[0])
