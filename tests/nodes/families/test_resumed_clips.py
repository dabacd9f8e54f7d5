"""A clip whose decoding was stopped or killed goes on at its part, and is the one that was not stopped.

By a kill of its process: `pytest -m slow tests/nodes/families/test_resumed_clips.py`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from weft.engine import Engine, Graph, Link, node
from weft.engine.events import Event, NodeProgress
from weft.nodes import LoadCheckpoint, VAEDecodeVideo
from weft.nodes.media_values import Video
from weft.nodes.values import Latent


@node(lane="cpu")
def GiveNoise(frames: int, channels: int, step: int, factor: int) -> Latent[Any]:
    """Latents of two clips of random colours."""
    numbers = torch.Generator().manual_seed(1)
    side = 32 // factor
    samples = torch.randn(2, channels, (frames - 1) // step + 1, side, side, generator=numbers)
    return Latent(32, 32, 2, samples, length=frames)


CLIPS = {
    "wan": (16, 4, 8),
    "cogvideox": (16, 4, 8),
    "hunyuan-video": (32, 4, 16),
    "ltx": (128, 8, 32),
    "svd": (4, 1, 2),
}
"""Models whose VAEs remember frames or decode several together: channels, frames and pixels to a latent element."""


def decoding(model: str, frames: int) -> Graph:
    with Graph(outputs={"video": Link("vae_decode_video")}) as graph:
        channels, step, factor = CLIPS.get(model, (4, 1, 8))
        noise = GiveNoise(frames=frames, channels=channels, step=step, factor=factor)
        VAEDecodeVideo(LoadCheckpoint(model).vae, noise, chunk=3)
    return graph


def decoded(store: Path, models: Path, graph: Graph, stop: int = 0) -> tuple[list[int], Any]:
    """The frames that were done after each part of a run, and its clip; None where it was stopped after so many."""
    seen: list[int] = []

    def hear(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.node == "vae_decode_video":
            seen.append(event.step)

    with Engine(store=store, device="cpu", precision="float32", models=[models]) as engine:
        result = engine.execute(engine.plan(graph), listener=hear, cancelled=lambda: stop in seen)
    return seen, result.outputs.get("video")


@pytest.mark.parametrize(
    ("model", "frames", "stop"),
    [
        ("wan", 13, 9),
        ("wan", 9, 14),
        ("epsilon", 3, 2),
        ("cogvideox", 17, 9),
        ("hunyuan-video", 9, 14),
        ("ltx", 9, 9),
        ("svd", 5, 3),
    ],
)
def test_a_clip_that_was_stopped_goes_on_at_its_part(
    tmp_path: Path, models: Path, zoo: Callable[[str], str], model: str, frames: int, stop: int
) -> None:
    graph = decoding(zoo(model) if model in CLIPS else model, frames)
    every, wanted = decoded(tmp_path / "whole", models, graph)
    before, nothing = decoded(tmp_path / "stopped", models, graph, stop)
    after, found = decoded(tmp_path / "stopped", models, graph)
    assert nothing is None and before[-1] == stop and before + after == every
    assert isinstance(found, Video) and torch.equal(found.frames, wanted.frames)
    assert wanted.frames.float().std() > 5


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.nodes.families.test_resumed_clips import decoding
from weft.engine import Engine
from weft.engine.events import NodeProgress
def hear(event):
    if isinstance(event, NodeProgress) and event.node == "vae_decode_video" and event.step == 9:
        os.kill(os.getpid(), signal.SIGKILL)
places = {"store": sys.argv[1], "models": [Path(sys.argv[2])]}
with Engine(device="cpu", precision="float32", checkpoint_every=1e-9, **places) as engine:
    engine.run(decoding("wan", 13), listener=hear)
"""


@pytest.mark.slow
def test_a_clip_whose_process_was_killed_goes_on_at_its_part(
    tmp_path: Path, models: Path, zoo: Callable[[str], str]
) -> None:
    graph = decoding(zoo("wan"), 13)
    _, wanted = decoded(tmp_path / "whole", models, graph)
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(models)], check=False)
    assert done.returncode == -signal.SIGKILL
    after, found = decoded(tmp_path / "killed", models, graph)
    assert after[0] > 9 - 4 and after[-1] == 26 and len(after) < 8
    assert torch.equal(found.frames, wanted.frames)
