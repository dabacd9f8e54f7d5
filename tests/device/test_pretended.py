"""Pretended devices refuse, count and run out of memory as real ones do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.device.pretended import MIB, PretendedDevices
from weft.engine.device import resolve_device
from weft.engine.out_of_memory import is_out_of_memory


@pytest.fixture
def cuda() -> Iterator[PretendedDevices]:
    with PretendedDevices("cuda") as devices:
        yield devices


def test_tensors_lie_where_they_were_put_and_hold_what_the_host_computes(cuda: PretendedDevices) -> None:
    host = torch.randn(2, 3)
    there = host.to("cuda:1")
    assert (there.device, there.is_cuda) == (torch.device("cuda:1"), True)
    assert torch.equal((there * 2 + 1).cpu(), host * 2 + 1)
    assert torch.zeros(3, device="cuda").device == torch.device("cuda:0")
    with torch.device("cuda:1"):
        assert torch.ones(2).device == torch.device("cuda:1")


MIXED: dict[str, Callable[[Tensor], Any]] = {
    "sum": lambda there: there + torch.ones(4, 4),
    "other device": lambda there: there + torch.ones(4, 4, device="cuda:1"),
    "layer": lambda there: nn.Linear(4, 4).requires_grad_(False)(there),
    "row of the host": lambda there: torch.cat([there, torch.ones(1, 4)]),
    "index on the device": lambda there: torch.ones(4, 4)[there.argmax(0)],
    "generator": lambda there: torch.randn(4, device="cuda:0", generator=torch.Generator()),
}


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("inference", [False, True])
def test_tensors_of_two_devices_do_not_meet(cuda: PretendedDevices, name: str, inference: bool) -> None:
    with torch.inference_mode(inference), pytest.raises(RuntimeError, match=r"device|indices"):
        MIXED[name](torch.ones(4, 4, device="cuda:0"))


WAITS: dict[str, tuple[Callable[[Tensor], Any], int]] = {
    "arithmetic": (lambda there: (there @ there + 1).half().float().softmax(-1), 0),
    "a number of the host": (lambda there: there * torch.tensor(2.0), 0),
    "filled": (lambda there: torch.full((2,), 3.0, device=there.device), 0),
    "slices": (lambda there: there[1:, None, :2].reshape(-1), 0),
    "item": (lambda there: there.sum().item(), 1),
    "branch": (lambda there: bool((there > 0).any()), 1),
    "to the host": (lambda there: there.cpu(), 1),
    "to the device": (lambda there: torch.ones(2).to(there.device), 1),
    "to the device, asynchronously": (lambda there: torch.ones(2).to(there.device, non_blocking=True), 1),
    "page-locked": (lambda there: torch.ones(2).pin_memory().to(there.device, non_blocking=True), 0),
    "a row that is page-locked": (
        lambda there: torch.ones(2, 2).pin_memory()[1].to(there.device, non_blocking=True),
        0,
    ),
    "made of numbers": (lambda there: torch.tensor([1.0], device=there.device), 1),
    "mask": (lambda there: there[there > 0], 1),
    "list": (lambda there: there[[0, 2]], 1),
    "number put in": (lambda there: there.__setitem__((0, 0), 5.0), 0),
    "nonzero": (lambda there: there.nonzero(), 1),
}


@pytest.mark.parametrize("name", WAITS)
@pytest.mark.parametrize("inference", [False, True])
def test_waits_are_counted(cuda: PretendedDevices, name: str, inference: bool) -> None:
    call, count = WAITS[name]
    with torch.inference_mode(inference):
        there = torch.ones(4, 4, device="cuda:0")
        cuda.reset()
        call(there)
    assert cuda.waits.total() == count


def test_launches_are_counted_once_for_what_a_gpu_has_one_kernel_for(cuda: PretendedDevices) -> None:
    there = torch.ones(1, 2, 4, 8, device="cuda:0")
    cuda.reset()
    nn.functional.scaled_dot_product_attention(there, there, there)
    there.transpose(1, 2)[..., 1:] + 1
    assert cuda.launches == Counter({"scaled_dot_product_attention": 1, "add": 1})


def test_memory_is_counted_by_storage_and_runs_out() -> None:
    with PretendedDevices("cuda", memory=3 * MIB) as devices:
        there = torch.zeros(MIB // 4, device="cuda:1")
        row, memory = there[:8], devices["cuda:1"]
        assert (memory.held, devices["cuda:0"].held, torch.cuda.mem_get_info(1)) == (MIB, 0, (2 * MIB, 3 * MIB))
        assert (there + 1).is_cuda
        assert memory.peak == 2 * MIB
        with pytest.raises(torch.OutOfMemoryError) as refused:
            torch.zeros(MIB, device="cuda:1")
        assert is_out_of_memory(refused.value)
        del there
        assert memory.held == MIB
        del row
        assert memory.held == 0


def test_a_module_moves_and_leaves(cuda: PretendedDevices) -> None:
    layers = nn.Sequential(nn.Linear(8, 8), nn.GroupNorm(2, 8)).requires_grad_(False)
    given = torch.randn(2, 8)
    want = layers(given)
    layers.to("cuda:0", torch.float32)
    assert cuda.held
    assert torch.equal(layers(given.to("cuda:0")).cpu(), want)
    layers.cpu()
    assert cuda.held == 0
    assert torch.equal(layers(given), want)


def test_the_data_of_a_parameter_are_replaced_and_put_back(cuda: PretendedDevices) -> None:
    layer = nn.Linear(256, 256, bias=False).requires_grad_(False).to("cuda:0")
    given = torch.ones(1, 256, device="cuda:0")
    before, want, held = layer.weight.data, layer(given).cpu(), cuda.held
    for factor in (2, 4):
        layer.weight.data = (before * factor).to(before.dtype)
        assert torch.allclose(layer(given).cpu(), want * factor)
        assert cuda.held == 2 * before.nbytes + given.nbytes
    layer.weight.data = before
    assert torch.equal(layer(given).cpu(), want)
    assert cuda.held == held


def test_mps_has_no_float64() -> None:
    with PretendedDevices("mps"):
        assert torch.ones(2, device="mps").to(torch.bfloat16).device == torch.device("mps:0")
        with pytest.raises(TypeError):
            torch.ones(2, dtype=torch.float64).to("mps")
        with pytest.raises(TypeError):
            torch.ones(2, device="mps").double()


def test_threads_see_the_devices_and_nobody_does_afterwards(cuda: PretendedDevices) -> None:
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(lambda: torch.ones(2, device="cuda:1") + 1).result().device.index == 1
    cuda.__exit__(None, None, None)
    assert not torch.cuda.is_available()
    assert resolve_device("auto") == "cpu"


def test_the_engine_sees_them() -> None:
    with PretendedDevices("cuda"):
        assert resolve_device("auto") == "cuda:0"
    with PretendedDevices("mps"):
        assert resolve_device("auto") == "mps"
