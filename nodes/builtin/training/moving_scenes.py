"""Landscapes in motion: sun, clouds and boat move through a scene while the ground stays.

The middle of a clip is the scene as `render.py` draws it. Sun and moon go to the right, and up at sunrise, down at
sunset; clouds and boats drift to the right. `motion_stage.py` trains on such clips.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from weft.nodes.builtin import path

from .dataset import draw_scenes, to_tensor
from .loop import channels_last, device
from .render import Shifts, render
from .scene import WATER, Scene

__all__ = ["FRAMES", "SUN", "TRAVEL", "draw_moving_scenes", "encode_clips", "render_clip", "shifts_at"]

FRAMES = 16

TRAVEL = {"clouds": 14.0, "boat": 20.0}
"""How far things go to the right in a clip, in pixels."""

SUN = {"sunrise": (14.0, -7.0), "day": (18.0, 0.0), "sunset": (14.0, 7.0), "night": (18.0, 0.0)}
"""How far sun or moon go in a clip, across and down, by the time of day."""


def shifts_at(scene: Scene, frame: int, frames: int = FRAMES) -> Shifts:
    """Where things are in a frame of a clip of this scene."""
    share = frame / (frames - 1) - 0.5
    across, down = SUN[scene.time]
    return Shifts((share * across, share * down), share * TRAVEL["clouds"], share * TRAVEL["boat"])


def render_clip(scene: Scene, frames: int = FRAMES) -> npt.NDArray[np.uint8]:
    """A clip of `scene`, uint8 `[frame, 128, 128, 3]`."""
    return np.stack([render(scene, shifts_at(scene, frame, frames)).pixels for frame in range(frames)])


def draw_moving_scenes(count: int, seed: int) -> tuple[Scene, ...]:
    """Scenes, two thirds with a boat and three quarters with clouds; the first ones do not depend on `count`."""
    generator = np.random.default_rng([seed, 1])
    return tuple(_moving(scene, generator) for scene in draw_scenes(count, seed))


def encode_clips(scenes: Sequence[Scene], file: Path) -> Tensor:
    """The latents of a clip of each scene at unit variance, float16 `[scene, 16, 4, 16, 16]`.

    Read from `file` where it is there; else drawn on every core and kept.
    """
    if not file.exists():
        partial_file = file.with_suffix(".partial")
        torch.save(_encode(scenes), partial_file)
        partial_file.rename(file)
    latents: Tensor = torch.load(file, weights_only=True, mmap=True)
    return latents


def _moving(scene: Scene, generator: np.random.Generator) -> Scene:
    boat, clouds, ground = generator.random() < 0.6, generator.random() < 0.5, str(generator.choice(WATER))
    scene = replace(scene, subject="boat", ground=ground) if boat else scene
    return replace(scene, weather="clouds") if clouds else scene


@torch.no_grad()
def _encode(scenes: Sequence[Scene]) -> Tensor:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    vae = channels_last(AutoencoderKL.from_pretrained(path("landscapes") / "vae", torch_dtype=torch.float32))
    scale = float(vae.config["scaling_factor"])
    latents = []
    with ProcessPoolExecutor(os.cpu_count()) as pool, torch.autocast(device().type, torch.bfloat16):
        for number, clip in enumerate(pool.map(partial(render_clip), scenes, chunksize=8)):
            mean = vae.encode(to_tensor(clip).to(device())).latent_dist.mean
            latents.append((mean.float() * scale).half().cpu())
            if number % 100 == 99:
                print(f"clips {number + 1}/{len(scenes)}", flush=True)
    return torch.stack(latents)
