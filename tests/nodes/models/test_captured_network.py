"""A network that is recorded gives what it gave before, for other numbers, sizes and weights.

Here a replay is another call, since only GPUs have graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from weft.nodes.models.captured_network import MOST, WARM_UP, CapturedCalls


class Recorder:
    """Records a call as one that computes into the same memory again.

    Attributes:
        recorded: how many calls.
        replayed: how many times.
    """

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, call: Callable[[], Any]) -> tuple[Any, Callable[[], object]]:
        self.recorded += 1
        results = call()

        def replay() -> None:
            self.replayed += 1
            for place, one in zip(tree_leaves(results), tree_leaves(call()), strict=True):
                place.copy_(one)

        return results, replay


class Scaled(nn.Module):
    """A layer with a conditional input and a number."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, given: Tensor, conditions: dict[str, Tensor], scale: float = 1.0) -> tuple[Tensor]:
        return (self.layer(given) * scale + conditions["added"],)


@pytest.fixture
def network() -> Scaled:
    return Scaled().requires_grad_(False)


def asked(network: Any, rows: int = 2, scale: float = 1.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    given, added = (torch.randn(rows, 4, generator=generator) for _ in range(2))
    found: Tensor = network(given, {"added": added}, scale=scale)[0]
    return found


def test_results_are_those_of_the_network_for_other_numbers_sizes_and_weights(network: Scaled) -> None:
    recorder = Recorder()
    captured = CapturedCalls(network, network.forward, recorder)
    weight = network.layer.weight
    before = weight.data
    for data in (before, before * 2, before):
        weight.data = data
        for rows, scale in ((2, 1.0), (3, 1.0), (2, 0.5)):
            for seed in range(WARM_UP + 3):
                with torch.inference_mode():
                    found = asked(captured, rows, scale, seed)
                    assert torch.equal(found, asked(network, rows, scale, seed))
    assert recorder.recorded == 6, "those of the first weights serve again"
    assert recorder.replayed == 3 * 3 + 3 * 3 + 3 * (WARM_UP + 3)


def test_a_result_outlives_the_next_call(network: Scaled) -> None:
    captured = CapturedCalls(network, network.forward, Recorder())
    found = [asked(captured, seed=seed) for seed in range(6)]
    assert torch.equal(torch.stack(found), torch.stack([asked(network, seed=seed) for seed in range(6)]))


def test_what_is_around_a_module_is_not_left_out(network: Scaled) -> None:
    recorder = Recorder()
    captured = CapturedCalls(network, network.forward, recorder)
    for seed in range(5):
        asked(captured, seed=seed)
    hook = network.layer.register_forward_hook(lambda *given: given[-1] + 1)
    replayed = recorder.replayed
    assert torch.equal(asked(captured), asked(network))
    hook.remove()
    assert recorder.replayed == replayed
    asked(captured)
    assert recorder.replayed == replayed + 1


def test_few_forms_are_kept(network: Scaled) -> None:
    captured = CapturedCalls(network, network.forward, Recorder())
    for rows in range(1, MOST + 4):
        for seed in range(4):
            assert torch.equal(asked(captured, rows, seed=seed), asked(network, rows, seed=seed))
    assert len(captured._recorded) == MOST
    captured.forget()
    assert not captured._recorded
