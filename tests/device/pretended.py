"""GPUs that are pretended on the host, to find what would break, wait or run out of memory on real ones.

    from tests.device.pretended import MIB, PretendedDevices

    with PretendedDevices("cuda", memory=64 * MIB) as devices:  # cuda:0 and cuda:1; or "mps"
        with Engine(store=None, device="cuda:1", precision="float16", ...) as engine:
            engine.run(graph)
        assert devices.waits.total() == 0  # what the host waited for, by kind
        devices.launches  # operations, by name
        devices["cuda:1"].held, devices["cuda:1"].peak  # bytes of tensors now, and the most at once
        devices["cuda:1"].capacity = 16 * MIB  # beyond it, torch.OutOfMemoryError
        devices.reset()  # counts begin again

What a tensor on a pretended device holds lies on the CPU, and so results are those of the CPU. Every operation is seen:

* Tensors of different devices do not meet, as on CUDA: a number from the host may, a CPU generator may not.
* What makes the host wait for a device is counted: `.item()`, copies that are not asynchronous, boolean indices,
  lists as indices, `nonzero` and its kind.
* Operations that are no views are counted as launches.
* Bytes of tensors are counted, and where there are no more, `torch.OutOfMemoryError` is raised. There is no
  fragmentation, no cache of torch's allocator, and no memory that kernels work in, but for attention's (`scores`).
* On MPS, tensors of float64 are refused.

`torch.cuda` (`torch.mps`) and Weft see the devices while the block runs, in this thread and in those that it starts.
It works with every build of torch, from 2.11 on; nothing of CUDA need be there. Nothing can be computed from tensors
of its devices after the block. Where another process is to see the devices, it opens them itself.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache, partial
from types import TracebackType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import weft.engine.device
from tests.device.device_memory import DeviceMemory
from tests.device.device_rules import COPIES, FREE, VIEWS, check_devices, check_dtypes, waits_of
from tests.device.pretended_tensor import KINDS, PretendedTensor, changed, home_of, host_of, leaves, named_home
from tests.device.torch_calls import TorchCalls
from tests.device.torch_names import PretendedStream, torch_with
from weft.engine.accelerators import Accelerator, Accelerators

MIB = 2**20

CUDA_DEVICES = 2
"""How many devices a machine with CUDA pretends to have."""


class PretendedDevices:
    """The pretended devices of one machine: `cuda:0` and `cuda:1`, or `mps`.

    Args:
        kind: `cuda` or `mps`.
        memory: bytes of each; None is more than any test needs.
        scores: whether attention holds the scores of all heads at once, as where torch has no kernel without them.
    """

    def __init__(self, kind: str = "cuda", memory: int | None = None, scores: bool = False) -> None:
        self.kind = kind
        self.scores = scores
        homes = [torch.device(kind, index) for index in range(CUDA_DEVICES if kind == "cuda" else 1)]
        self.memories = {home: DeviceMemory(home, memory or 2**50) for home in homes}
        self.waits: Counter[str] = Counter()
        self.launches: Counter[str] = Counter()
        self.current: list[int] = []
        self.streams: list[PretendedStream] = []
        self.pinned: dict[int, torch.UntypedStorage] = {}
        self.on_wait: Callable[[str], None] = lambda kind: None
        self._open = ExitStack()

    def __getitem__(self, name: str) -> DeviceMemory:
        home = named_home(name)
        assert home is not None, f"{name} is no pretended device"
        return self.memories[home]

    @property
    def held(self) -> int:
        """Bytes that tensors hold on all devices."""
        return sum(memory.held for memory in self.memories.values())

    def reset(self) -> None:
        """Count waits, launches and peaks from now on."""
        self.waits.clear()
        self.launches.clear()
        for memory in self.memories.values():
            memory.peak = memory.held

    def wait(self, kind: str) -> None:
        """Count a wait of the host."""
        self.waits[kind] += 1
        self.on_wait(kind)

    def __enter__(self) -> PretendedDevices:
        assert PretendedTensor.run is None, "one machine at a time is pretended"
        enter = self._open.enter_context
        enter(torch_with(self.memories, self.kind, self.wait, self.current, self.streams))
        enter(patch.object(PretendedTensor, "run", self.run))
        found = Accelerators(tuple(Accelerator(str(home)) for home in self.memories if home.type == "cuda"))
        enter(
            patch.object(weft.engine.device, "accelerators", lambda kind: found if kind == "cuda" else Accelerators())
        )
        enter(patch.object(weft.engine.device, "_has_mps", lambda: self.kind == "mps"))
        enter(patch.object(threading.Thread, "run", _within(self, threading.Thread.run)))
        # Parameters of modules that move are replaced: their kind of tensor is another one.
        replaced = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        self._open.callback(torch.__future__.set_overwrite_module_params_on_conversion, replaced)
        enter(_Calls(self))
        enter(_Operations(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.close()

    def run(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run an operation of torch on what its tensors hold, by the rules of the devices that they lie on."""
        name = func._schema.name.removeprefix("aten::") if hasattr(func, "_schema") else func.__name__
        given = leaves((tuple(args), dict(kwargs)))
        tensors = [one for one in given if isinstance(one, Tensor)]
        homes = [one.home for one in tensors if isinstance(one, PretendedTensor)]
        wanted = next((one for one in given if isinstance(one, torch.device)), None)
        named = named_home(wanted)
        if not homes and named is None:
            return func(*args, **kwargs)
        if _is_composite(func):
            with _Operations(self):
                return func.decompose(*args, **kwargs)
        home = homes[0] if homes else named
        assert home is not None
        target = named or wanted or home
        if name == "copy_":
            target = home_of(args[0])
        if name not in COPIES:
            check_devices(name, args, kwargs, tensors, home)
        for kind in waits_of(name, args, kwargs, target, self.pinned):
            self.wait(kind)
        if name not in VIEWS and name not in FREE:
            self.launches[name] += 1
        if self.scores and name == "scaled_dot_product_attention":
            query, key = tensors[:2]
            self.placed(torch.empty(*query.shape[:-1], key.shape[-2]), home)
        plain_args, plain_kwargs = changed((tuple(args), dict(kwargs)), host_of)
        if wanted is not None:
            plain_kwargs["device"] = torch.device("cpu")
        results = func(*plain_args, **plain_kwargs)
        check_dtypes(results, target)
        return self._placed(results, tensors, target)

    def _placed(self, results: Any, tensors: Sequence[Tensor], home: torch.device) -> Any:
        """Results on their device; what an operation has changed and gives back is the same tensor as before."""
        known = {id(host_of(one)): one for one in tensors}
        # No closure: a frame that is cleared after a failure keeps its function, and that would keep the tensors.
        return changed(results, partial(self._known_or_placed, known, home))

    def _known_or_placed(self, known: Mapping[int, Tensor], home: torch.device, result: Any) -> Any:
        if not isinstance(result, Tensor):
            return result
        return known[id(result)] if id(result) in known else self.placed(result, home)

    def placed(self, tensor: Tensor, home: torch.device) -> Tensor:
        """A tensor on a device, counted."""
        if home.type not in KINDS:
            return tensor
        made = PretendedTensor(tensor, home)
        self.memories[home].take(made)
        return made


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees the operations that make tensors on a pretended device, or bring some there."""

    def __init__(self, devices: PretendedDevices) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.devices = devices

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return self.devices.run(func, args, kwargs or {})


class _Calls(TorchFunctionMode):
    """Sees the calls of torch that reach for a device before there is an operation."""

    def __init__(self, devices: PretendedDevices) -> None:
        super().__init__()
        self.calls = TorchCalls(devices.run, devices.pinned)

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return self.calls(func, args, dict(kwargs or {}))


@cache
def _is_composite(func: Any) -> bool:
    """Whether a function of torch is made of others on every device; in inference mode it comes as it is."""
    if not isinstance(func, torch._ops.OpOverload):
        return False
    name = f"{func._schema.name}.{func._schema.overload_name}".removesuffix(".")
    return torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeImplicitAutograd")


def _within(devices: PretendedDevices, run: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    """Threads that see the devices: torch's modes are those of a thread."""

    def running(thread: threading.Thread) -> None:
        with _Calls(devices), _Operations(devices):
            run(thread)

    return running
