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
from weft.nodes.builtin.training.motion_stage import MotionStage, draw_noisy_clips, moving_weights
from weft.nodes.builtin.training.moving_scenes import FRAMES, draw_moving_scenes, encode_clips
from weft.nodes.builtin.training.unet_stage import Noisy, alpha_bars
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


def test_errors_weigh_more_where_a_clip_changes() -> None:
    clean = torch.zeros(2, FRAMES, 4, 16, 16)
    clean[:, :, :, 10:13, 4:8] = torch.linspace(-1, 1, FRAMES)[:, None, None, None]
    weights = moving_weights(clean)
    assert weights.shape == (2, 1, 1, 16, 16)
    torch.testing.assert_close(weights.mean((1, 2, 3, 4)), torch.ones(2))
    assert weights[..., 10:13, 4:8].min() > 2 * weights[..., :8, :].max()
    torch.testing.assert_close(moving_weights(torch.ones(2, FRAMES, 4, 16, 16)), torch.ones(2, 1, 1, 16, 16))


def test_clips_are_noised_as_a_sampler_has_them_that_began_with_a_still_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the timestep at which it begins, nothing of the clip is in its latents; from there on the model sees it."""
    clean = torch.randn(3, FRAMES, 4, 16, 16)
    monkeypatch.setattr(motion_stage, "LOWEST", 999)
    plain, begun = (noisy_with(share, clean, monkeypatch) for share in (0.0, 1.0))
    torch.testing.assert_close(begun.latents, noised(clean, begun))
    torch.testing.assert_close(plain.latents, noised(clean, plain))
    left = alpha_bars()[999]
    carried = (begun.noise - plain.noise).reshape(3, FRAMES, 4, 16, 16) / (left / (1 - left)).sqrt() + clean
    torch.testing.assert_close(carried, carried[:, :1].expand_as(carried), atol=1e-3, rtol=0)
    middle = clean[:, FRAMES // 2]
    torch.testing.assert_close(
        carried[:, 0, :, motion_stage.SKY :], middle[:, :, motion_stage.SKY :], atol=1e-3, rtol=0
    )


def noisy_with(share: float, clean: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> Noisy:
    """Clips of which `share` begin with a still frame, all else alike."""
    monkeypatch.setattr(motion_stage, "FROM_STILL", share)
    return draw_noisy_clips(clean, torch.Generator().manual_seed(5))


def noised(clean: torch.Tensor, noisy: Noisy) -> torch.Tensor:
    """Latents `[batch, 4, frame, 16, 16]` by the definition of what a timestep leaves of clips."""
    left = alpha_bars()[noisy.times].view(-1, 1, 1, 1, 1)
    return (left.sqrt() * clean + (1 - left).sqrt() * noisy.noise.reshape(clean.shape)).transpose(1, 2)


def loss_of(stage: MotionStage) -> float:
    """Over several batches."""
    with torch.no_grad():
        return float(np.mean([stage.loss(step).item() for step in range(90, 96)]))
