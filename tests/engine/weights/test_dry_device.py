"""A device without memory knows masks, lengths and places, by which networks choose what they compute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from weft.engine.weights.dry_device import HOME, MOST_BROUGHT, MOST_KNOWN, DryDevice


@pytest.fixture
def device() -> Iterator[DryDevice]:
    with DryDevice() as device:
        yield device


def mask() -> Tensor:
    """Two prompts of three and of one token."""
    return torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]]).to(HOME)


def test_whole_numbers_of_the_host_are_known_and_what_follows_from_them(device: DryDevice) -> None:
    lengths = mask().sum(dim=1)
    assert lengths.tolist() == [3, 1] and lengths.max().item() == 3
    assert not mask().bool().all() and bool(mask()[:, 0].all())
    assert torch.equal(mask(), mask()) and not torch.equal(mask(), mask() * 0)
    assert mask().to(torch.bfloat16).cpu().tolist() == mask().tolist()


def test_floats_and_results_of_many_numbers_are_not_known(device: DryDevice) -> None:
    weights = torch.full((4, 2), 0.5).to(HOME)
    assert weights.cpu().tolist() == [[0, 0]] * 4 and weights.sum().item() == 1
    assert torch.full((MOST_BROUGHT + 1,), 7).to(HOME).max().item() == 1
    assert torch.full((1,), 7).to(HOME).expand(MOST_KNOWN + 1).sum().item() == 1
    state = torch.get_rng_state()
    assert torch.rand(3, device=HOME).cpu().tolist() == [0, 0, 0]
    assert torch.equal(torch.get_rng_state(), state)


def test_rows_are_taken_by_a_mask(device: DryDevice) -> None:
    tokens = torch.empty(2, 4, 8, device=HOME)
    assert tokens[mask().bool()].shape == (4, 8)
    assert tokens[:, mask()[0].bool()].shape == (2, 3, 8)
    assert mask().nonzero().shape == (4, 2)
    assert torch.arange(4, device=HOME)[mask()[0].bool()].tolist() == [0, 1, 2]


def test_where_sizes_follow_from_numbers_that_are_not_known_they_are_one(device: DryDevice) -> None:
    chosen = torch.empty(6, 4, device=HOME).topk(1).indices.flatten()
    assert chosen.bincount().tolist() == [0, 6]  # one expert has all tokens
    seen = chosen > 2
    assert torch.empty(6, 8, device=HOME)[seen].shape == (6, 8)
    assert torch.empty(6, 8, device=HOME)[~seen].shape == (0, 8)
    found, places = torch.empty(6, device=HOME).unique(return_inverse=True)  # type: ignore[no-untyped-call]
    assert found.shape == (1,) and found.cpu().tolist() == [0] and places.tolist() == [0] * 6


def test_numbers_are_changed_in_place_and_forgotten_with_what_is_not_known(device: DryDevice) -> None:
    known = mask()
    row = known[0]
    row[3] = 1
    assert known.sum(dim=1).tolist() == [4, 1]
    known[1] = torch.empty(4, device=HOME).topk(4).indices
    assert row.cpu().tolist() == [0, 0, 0, 0]  # of one storage with what was overwritten
