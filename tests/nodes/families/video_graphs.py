"""Graphs of clips, and the clips that diffusers' pipelines make for the same prompts and seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import torch

from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Pixels
from weft.engine import Engine, Graph, Link
from weft.nodes import (
    CFGGuide,
    EmptyVideoLatent,
    ImageToVideoGuide,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    TextEncode,
    VAEDecodeVideo,
)
from weft.nodes.media_values import Video

STEPS = 3


def video_graph(
    model: str,
    frames: int,
    batch: int = 1,
    rate: float | None = None,
    texts: tuple[str, str] = (PROMPT, NEGATIVE),
    guided: Callable[[Any, Any, Any], Any] = lambda guide, loaded, start: guide,
    changed: Callable[[Any], Any] = lambda model: model,
    size: tuple[int, int] = (SIZE, SIZE),
    scale: float = SCALE,
    **sampling: Any,
) -> Graph:
    """A clip of a checkpoint.

    Args:
        changed: makes another model.
        size: width and height.
        guided: makes another guide, of a guide, the checkpoint and the latent.
    """
    with Graph(outputs={"video": Link("vae_decode_video")}) as graph:
        loaded: Any = LoadCheckpoint(model)
        prompts = [TextEncode(loaded.text_encoder, text) for text in texts]
        start = EmptyVideoLatent(*size, frames, batch, rate=rate)
        guide = guided(CFGGuide(changed(loaded.model), *prompts, scale=scale), loaded, start)
        sampled = KSampler(guide, start, **{"seed": SEED, "steps": STEPS, "sampler": "model", **sampling})
        VAEDecodeVideo(loaded.vae, sampled)
    return graph


def beginning(*, ends: bool = False, sample: bool = False) -> Callable[[Any, Any, Any], Any]:
    """A guide whose clip begins with a picture, and perhaps ends with one."""

    def guided(guide: Any, loaded: Any, start: Any) -> Any:
        last = LoadImage("stripes.png") if ends else None
        return ImageToVideoGuide(guide, loaded.vae, start, LoadImage("ramp.png"), last, sample=sample)

    return guided


def frames_of(engine: Engine, graph: Graph) -> Pixels:
    """The frames of its clip, or of its clips one after the other."""
    video = engine.run(graph).outputs["video"]
    assert isinstance(video, Video)
    return video.frames.numpy()


def clip_of(pipe: Any, batch: int = 1, **call: Any) -> Pixels:
    """The frames that a pipeline makes, `[clip, frame, height, width, 3]` of bytes."""
    pipe.set_progress_bar_config(disable=True)
    seeds = [torch.Generator().manual_seed(SEED + item) for item in range(batch)]
    given: dict[str, Any] = {"prompt": [PROMPT] * batch, "negative_prompt": [NEGATIVE] * batch}
    given |= {"guidance_scale": SCALE, "num_inference_steps": STEPS, "width": SIZE, "height": SIZE}
    found = pipe(**{**given, **call}, generator=seeds, output_type="np").frames
    return (numpy.asarray(found) * 255).round().astype("uint8")
