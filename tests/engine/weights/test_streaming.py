"""Networks whose parts lie on the host and are sent to a device as they run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from tests.device.pretended import PretendedDevices
from weft.engine.weights.streaming import Placing, StreamedNetworks, Streaming, device_of

BLOCK = 4 * (64 * 64 + 64)


class Net(nn.Module):
    """Four blocks, and layers and a tensor outside of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.blocks = nn.ModuleList(nn.Linear(64, 64) for _ in range(4))
        self.shift = nn.Parameter(torch.randn(64))
        self.requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where its first weight is."""
        return self.first.weight.device

    def forward(self, given: Tensor) -> Tensor:
        """Go through all."""
        given = self.first(given) + self.shift
        for block in self.blocks:
            given = block(given)
        return given


@pytest.fixture
def cuda() -> Iterator[PretendedDevices]:
    with PretendedDevices("cuda") as devices:
        yield devices


CASES: dict[str, tuple[Placing, int]] = {
    "blocks": (Placing("blocks"), 1),
    "layers": (Placing("layers"), 0),
    "room for three blocks": (Placing("fitting", 4 * BLOCK + 4 * 64), 2),
    "no room": (Placing("fitting"), 0),
}
"""How a network lies, and how many of its layers stay on the device."""


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("start", ["cpu", "cuda:0"])
def test_a_streamed_network_gives_what_one_on_the_device_gives(cuda: PretendedDevices, name: str, start: str) -> None:
    placing, stays = CASES[name]
    network, given = Net(), torch.randn(2, 64)
    want = network(given)
    network.to(start)
    streamed, there = StreamedNetworks([network], "cuda:0", placing), given.to("cuda:0")
    cuda.reset()
    held = cuda.held
    assert torch.equal(network(there).cpu(), want)
    assert device_of(network) == torch.device("cuda:0")
    assert cuda.held == held
    assert abs(held - stays * BLOCK) < 4096
    assert abs(streamed.size + streamed.on_host - (len(network.blocks) + 1) * BLOCK - 4 * 64) <= 2 * BLOCK
    assert cuda["cuda:0"].peak <= streamed.size + 8192


def test_a_block_is_sent_while_the_one_before_it_runs(cuda: PretendedDevices) -> None:
    network, given = Net(), torch.randn(2, 64)
    want, streamed = network(given), StreamedNetworks([network], "cuda:0", Placing("blocks"))
    there, sent, most = given.to("cuda:0"), [], []
    for _ in range(3):
        cuda.reset()
        cuda.streams.clear()
        assert torch.equal(network(there).cpu(), want)
        sent.append(len(cuda.streams))
        most.append(cuda["cuda:0"].peak)
    assert sent == [4, 4 + 1, 4]  # the second time, the first block is sent once more for the third
    assert len(set(most)) == 1
    streamed.forget_ahead()
    assert abs(cuda.held - BLOCK) < 4096


def test_the_order_of_calls_is_learnt_where_it_is_another_one(cuda: PretendedDevices) -> None:
    network, given, order, sent = Net(), torch.randn(2, 64), (2, 0, 3, 1), list[int]()

    def called(found: Tensor) -> Tensor:
        for place in order:
            found = network.blocks[place](found)
        return found.cpu()

    want = called(given)
    StreamedNetworks([network], "cuda:0", Placing("blocks"))
    for _ in range(3):
        cuda.streams.clear()
        assert torch.equal(called(given.to("cuda:0")), want)
        sent.append(len(cuda.streams))
    # At first two that come later are sent instead of the next one, and after the last one a first one.
    assert sent == [4 + 3, 4, 4]


def test_weights_that_are_changed_on_the_host_are_sent_again(cuda: PretendedDevices) -> None:
    network, given = Net(), torch.randn(2, 64)
    streamed, there = StreamedNetworks([network], "cuda:0", Placing("blocks")), given.to("cuda:0")
    for _ in range(2):
        network(there)
    streamed.forget_ahead()
    dict(network.named_parameters())["blocks.0.weight"].mul_(2.0)
    found = network(there).cpu()
    streamed.end()
    assert torch.equal(found, network.to("cpu")(given))


@pytest.mark.parametrize("streaming", ["blocks", "layers"])
def test_a_call_that_fails_leaves_nothing_on_the_device(cuda: PretendedDevices, streaming: Streaming) -> None:
    network, there = Net(), torch.randn(2, 64, device="cuda:0")
    StreamedNetworks([network], "cuda:0", Placing(streaming))
    held = cuda.held
    cuda["cuda:0"].capacity = held + BLOCK // 2
    with pytest.raises(torch.OutOfMemoryError):
        network(there)
    assert cuda.held == held
    cuda["cuda:0"].capacity = held + 2 * BLOCK
    assert network(there).is_cuda


def test_after_its_end_a_network_is_called_as_it_lies(cuda: PretendedDevices) -> None:
    network, given = Net(), torch.randn(2, 64)
    want = network(given)
    StreamedNetworks([network], "cuda:0", Placing("layers")).end()
    network.to("cpu")
    assert torch.equal(network(given), want)
    assert cuda.held == 0 and device_of(network).type == "cpu"
