"""Edges: where they are, how two maps compare, and that the ControlNet's stage learns.

The last one: `pytest -m slow tests/nodes/builtin/training/test_edge_control_net.py`.
"""

from pathlib import Path

import pytest
import torch

from weft.nodes.builtin.training.dataset import draw_dataset
from weft.nodes.builtin.training.edge_control_net import EdgesStage, edges, f1
from weft.nodes.builtin.training.loop import Schedule, train_stage
from weft.nodes.builtin.training.unet_stage import DenoiserStage
from weft.nodes.builtin.training.vocabulary import new_tokenizer


def square(left: int) -> torch.Tensor:
    pictures = -torch.ones(1, 3, 32, 32)
    pictures[:, :, 8:24, left : left + 16] = 1
    return pictures


def test_edges_of_a_square_run_round_it() -> None:
    found = edges(square(8))[0, 0]
    assert found[16, 16] == found[2, 2] == 0
    assert found[16, 7:9].max() == found[7:9, 16].max() == 1
    assert found.sum() < 2.5 * 4 * 16


def test_f1_forgives_two_pixels_and_no_more() -> None:
    given = edges(square(8))
    assert f1(given, given) == 1
    assert f1(edges(square(9)), given) == 1
    assert f1(edges(square(13)), given) < 0.8


@pytest.mark.slow
def test_a_few_steps_lower_the_loss_and_leave_the_unet_alone(tmp_path: Path) -> None:
    data = draw_dataset(tmp_path, count=8, seed=2)
    latents = torch.randn(8, 2, 4, 16, 16).half()
    denoiser = DenoiserStage(data.scenes, latents, new_tokenizer(tmp_path / "tokenizer"), seed=1)
    stage = EdgesStage(data, latents, denoiser, seed=1, batch=4)
    before, unet = stage.loss(99).item(), [weight.clone() for weight in denoiser.unet.parameters()]
    train_stage(stage, Schedule(steps=12, rate=1e-3, warmup=1, decay=0.0), tmp_path)
    assert stage.loss(99).item() < before
    assert all(torch.equal(one, other) for one, other in zip(unet, denoiser.unet.parameters(), strict=True))
