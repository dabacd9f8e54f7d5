"""The command trains motion modules that Weft reads, and leaves the model alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from weft.engine import SearchPaths
from weft.nodes.builtin.training import motion_stage
from weft.nodes.builtin.training.loop import Schedule, train_stage
from weft.nodes.builtin.training.motion_stage import MotionStage
from weft.nodes.builtin.training.moving_scenes import FRAMES, draw_moving_scenes, encode_clips
from weft.nodes.families.motion_sources import MotionAdapterSource
from weft.nodes.models.motion_files import MotionAdapterFacts


@pytest.fixture
def processor() -> Iterator[None]:
    """A command sets how its process computes; other tests are to compute as before."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.mark.slow
@pytest.mark.usefixtures("processor")
def test_the_command_writes_an_adapter_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pytest -m slow tests/nodes/builtin/training/test_motion_stage.py`."""
    arguments = ["--steps", "1", "--clips", "2", "--work", str(tmp_path / "work"), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["motion_stage", *arguments])
    motion_stage.main()
    found = MotionAdapterSource().resolve("landscapes-motion", SearchPaths(working=tmp_path, models=(tmp_path,)))
    assert isinstance(found.facts, MotionAdapterFacts)
    assert found.facts.channels == (64, 128, 128) and found.facts.longest >= FRAMES


@pytest.mark.slow
@pytest.mark.usefixtures("processor")
def test_some_steps_lower_the_loss_and_leave_the_model_alone(tmp_path: Path) -> None:
    """`pytest -m slow tests/nodes/builtin/training/test_motion_stage.py`."""
    scenes = draw_moving_scenes(4, 3)
    stage = MotionStage(scenes, encode_clips(scenes, tmp_path / "clips.pt"), seed=1)
    before, unet = loss_of(stage), {name: one.clone() for name, one in stage.unet.state_dict().items()}
    train_stage(stage, Schedule(steps=30, rate=1e-3, warmup=5, decay=0.5), tmp_path)
    assert loss_of(stage) < 0.9 * before
    changed = {name for name, one in stage.unet.state_dict().items() if not torch.equal(one, unet[name])}
    assert changed and all(".motion_modules." in name for name in changed)


def loss_of(stage: MotionStage) -> float:
    """Over several batches."""
    with torch.no_grad():
        return float(np.mean([stage.loss(step).item() for step in range(90, 96)]))
