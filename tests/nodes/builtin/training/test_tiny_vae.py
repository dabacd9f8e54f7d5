"""The tiny autoencoder's stage learns."""

from pathlib import Path

import torch

from weft.nodes.builtin.training.dataset import draw_dataset
from weft.nodes.builtin.training.loop import Schedule, train_stage
from weft.nodes.builtin.training.tiny_vae import PreviewStage


def test_a_few_steps_lower_the_loss(tmp_path: Path) -> None:
    stage = PreviewStage(draw_dataset(tmp_path, count=8, seed=2), torch.randn(8, 2, 4, 16, 16).half(), seed=1, batch=2)
    before = stage.loss(99).item()
    train_stage(stage, Schedule(steps=8, rate=2e-3, warmup=1, decay=0.0), tmp_path)
    assert stage.loss(99).item() < 0.9 * before
