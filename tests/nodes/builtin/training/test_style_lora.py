"""The command trains a LoRA in a style that Weft reads, and leaves the model alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from weft.engine import SearchPaths
from weft.nodes.builtin import LORA
from weft.nodes.builtin.training import style_lora
from weft.nodes.builtin.training.dataset import draw_scenes
from weft.nodes.builtin.training.loop import Schedule, train_stage
from weft.nodes.builtin.training.render import render
from weft.nodes.builtin.training.scene import Scene
from weft.nodes.builtin.training.style_lora import StyleStage, moments_of
from weft.nodes.builtin.training.styles import STYLES, styled
from weft.nodes.families.sources import LoRASource
from weft.nodes.models.lora_facts import LoRAFacts

GREEN = Scene("day", "green", "meadow", "tree", "left", "clear", 5)


@pytest.fixture
def processor() -> Iterator[None]:
    """A command sets how its process computes; other tests are to compute as before."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.mark.usefixtures("processor")
def test_the_command_writes_a_lora_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--steps", "1", "--pictures", "2", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["style_lora", "autumn", *arguments])
    style_lora.main()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")] == [f"landscapes-autumn/{LORA}"]
    found = LoRASource().resolve("landscapes-autumn", SearchPaths(working=tmp_path, models=(tmp_path,)))
    assert isinstance(found.facts, LoRAFacts)
    assert (found.facts.family, found.facts.parts) == ("SD1", ("denoiser",))


@pytest.mark.slow
def test_some_steps_lower_the_loss_and_leave_the_model_alone(tmp_path: Path) -> None:
    """`pytest -m slow tests/nodes/builtin/training/test_style_lora.py`."""
    scenes = draw_scenes(8, 3)
    stage = StyleStage(scenes, moments_of(scenes, "mist"), seed=1, batch=8)
    before, unet = loss_of(stage), {name: one.clone() for name, one in stage.unet.state_dict().items()}
    train_stage(stage, Schedule(steps=60, rate=2e-3, warmup=10, decay=0.5), tmp_path)
    assert loss_of(stage) < 0.97 * before
    changed = {name for name, one in stage.unet.state_dict().items() if not torch.equal(one, unet[name])}
    assert changed and all("lora_" in name for name in changed)


def loss_of(stage: StyleStage) -> float:
    """Over several batches."""
    with torch.no_grad():
        return float(np.mean([stage.loss(step).item() for step in range(90, 96)]))


def test_autumn_turns_green_to_rust_and_leaves_the_sky() -> None:
    before, after = (pixels.astype(int) for pixels in (render(GREEN).pixels, styled(GREEN, "autumn")))
    green = (before[..., 1] > before[..., 0] + 20) & (before[..., 1] > before[..., 2] + 20)
    assert green.mean() > 0.3
    assert (after[green][:, 0] > after[green][:, 1]).all()
    assert np.abs(before[:6] - after[:6]).max() <= 1


@pytest.mark.parametrize("style", STYLES)
def test_a_style_keeps_the_size_and_changes_something(style: str) -> None:
    assert styled(GREEN, style).shape == (128, 128, 3)
    assert (styled(GREEN, style) != render(GREEN).pixels).any()
