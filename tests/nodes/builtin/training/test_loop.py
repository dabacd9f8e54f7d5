"""Training: it learns, and a run that was stopped and resumed ends with the weights of one that was not.

The denoiser: `pytest -m slow tests/nodes/builtin/training/test_loop.py`.
"""

from pathlib import Path

import pytest
import torch

from weft.nodes.builtin.training.autoencoder_stage import AutoencoderStage
from weft.nodes.builtin.training.dataset import Dataset, draw_dataset
from weft.nodes.builtin.training.loop import Schedule, train_stage
from weft.nodes.builtin.training.pipeline_export import new_scheduler
from weft.nodes.builtin.training.unet_stage import DenoiserStage, alpha_bars
from weft.nodes.builtin.training.vocabulary import new_tokenizer

BRIEF = Schedule(steps=6, rate=2e-3, warmup=1, decay=0.0)


def dataset(folder: Path) -> Dataset:
    return draw_dataset(folder, count=8, seed=2)


def test_a_few_steps_lower_the_autoencoders_loss(tmp_path: Path) -> None:
    stage = AutoencoderStage(dataset(tmp_path), seed=1, crops=100, batch=1)
    before = stage.loss(99).item()
    train_stage(stage, BRIEF, tmp_path)
    assert stage.loss(99).item() < 0.9 * before


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    stages = [AutoencoderStage(data, seed=1, crops=100, batch=1) for _ in range(3)]
    (tmp_path / "whole").mkdir()
    whole = train_stage(stages[0], BRIEF, tmp_path / "whole")
    train_stage(stages[1], Schedule(steps=3, rate=2e-3, warmup=1, decay=0.0), tmp_path)
    resumed = train_stage(stages[2], BRIEF, tmp_path)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_a_few_steps_lower_the_denoisers_loss(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    latents = torch.zeros(8, 2, 4, 16, 16, dtype=torch.float16)
    stage = DenoiserStage(data.scenes, latents, new_tokenizer(tmp_path / "tokenizer"), seed=1, batch=4)
    before = stage.loss(99).item()
    train_stage(stage, Schedule(steps=12, rate=5e-4, warmup=1, decay=0.0), tmp_path)
    assert stage.loss(99).item() < 0.9 * before


def test_the_rate_warms_up_stays_and_falls_to_nothing() -> None:
    schedule = Schedule(steps=100, rate=1.0, warmup=10, decay=0.5)
    assert schedule.at(0) == 0.1
    assert schedule.at(20) == schedule.at(50) == 1.0
    assert 0 < schedule.at(99) < 0.01


def test_noise_levels_are_those_of_the_exported_scheduler() -> None:
    torch.testing.assert_close(alpha_bars(), new_scheduler().alphas_cumprod, atol=1e-6, rtol=1e-4)
