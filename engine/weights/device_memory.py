"""The memory of a device as torch and its driver count it: what is free, what was used at most, what is kept for work.

On the CPU nothing is counted. Asks torch where it is loaded, as it is wherever weights are.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from weft.engine.loaded_modules import loaded_module

KEPT_AT_LEAST = 10**9


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes of a device.

    Args:
        total: all that it has.
        free: what torch could still give to tensors: what nobody has, and what torch holds without using it.
    """

    total: int
    free: int

    @property
    def reserve(self) -> int:
        """What is kept for work where no setting says it: a gigabyte and a tenth, on small devices a fifth."""
        return min(self.total // 5, KEPT_AT_LEAST + self.total // 10)


def memory_of(device: str) -> DeviceMemory | None:
    """The memory of a device now; None for the CPU, and where torch cannot tell."""
    kind, module = device.partition(":")[0], _module(device)
    if module is None:
        return None
    if kind == "mps":
        total = int(module.recommended_max_memory())
        return DeviceMemory(total, total - int(module.current_allocated_memory()))
    free, total = module.mem_get_info(device)
    unused = int(module.memory_reserved(device)) - int(module.memory_allocated(device))
    return DeviceMemory(int(total), int(free) + unused)


def is_in_use(device: str) -> bool:
    """Whether torch has begun to use a device of this kind: to ask it for memory would begin that, and take some."""
    module = _module(device)
    return module is not None and (not hasattr(module, "is_initialized") or bool(module.is_initialized()))


def begin_peak(device: str) -> None:
    """Count the peak of a device from now on, where torch can."""
    module = _module(device)
    if module is not None and hasattr(module, "reset_peak_memory_stats"):
        module.reset_peak_memory_stats(device)


def peak_of(device: str) -> int:
    """The most bytes that tensors have held on a device at once since `begin_peak`; 0 where torch does not count."""
    module = _module(device)
    return int(module.max_memory_allocated(device)) if hasattr(module, "max_memory_allocated") else 0


def current_device(device: str) -> AbstractContextManager[object]:
    """Have torch take a device as the present one of this thread while the block runs.

    What names no device of its own (page-locked memory, streams, compiled kernels) would use the first one, and
    its libraries take half a gigabyte there.
    """
    kind, _, number = device.partition(":")
    chosen = getattr(_module(device), "device", None) if number and kind != "mps" else None
    found: AbstractContextManager[object] = nullcontext() if chosen is None else chosen(int(number))
    return found


def _module(device: str) -> Any:
    """What torch has for a device's kind (`torch.cuda`); None for the CPU and where torch is not loaded."""
    kind, torch = device.partition(":")[0], loaded_module("torch")
    module = None if torch is None or kind == "cpu" else getattr(torch, kind, None)
    return module if module is not None and module.is_available() else None
