"""What torch says of its devices while some are pretended: `torch.cuda`, `torch.mps` and their kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

from tests.device.device_memory import DeviceMemory

CAPABILITY = (9, 0)


class PretendedEvent:
    """An event of a stream. All work of a pretended device is done at once, so an event has always happened."""

    waited: Callable[[], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.recorded = False

    def record(self, stream: Any = None) -> None:
        self.recorded = True

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        """Nothing is waited for where the work has been done, as it has here."""


class PretendedStream:
    """A stream of a pretended device, where all work is done at once."""

    def __init__(self, device: Any = None, **kwargs: Any) -> None:
        self.waited = 0

    def wait_stream(self, other: PretendedStream) -> None:
        self.waited += 1


@contextmanager
def torch_with(
    memories: Mapping[torch.device, DeviceMemory],
    kind: str,
    wait: Callable[[str], None],
    current: list[int],
    streams: list[PretendedStream],
) -> Iterator[None]:
    """Let torch say that it has these devices, of one kind, while the block runs.

    Args:
        current: is given each device that a thread takes as its present one.
        streams: is given each stream that a thread gives work to besides that of a device.
    """
    works = {index: PretendedStream() for index in range(len(memories))}
    first, count = next(iter(memories.values())), len(memories)

    def memory(device: Any = None) -> DeviceMemory:
        if device is None:
            return first
        index = device if isinstance(device, int) else torch.device(device).index
        return memories[torch.device(kind, index or 0)]

    def properties(device: Any = None) -> SimpleNamespace:
        major, minor = CAPABILITY
        return SimpleNamespace(
            name=f"pretended {kind}",
            total_memory=memory(device).capacity,
            major=major,
            minor=minor,
            multi_processor_count=1,
            warp_size=32,
            gcnArchName="",
        )

    def reset_peak(device: Any = None) -> None:
        memory(device).peak = memory(device).held

    @contextmanager
    def device(index: int) -> Iterator[None]:
        current.append(index)
        yield

    @contextmanager
    def stream(given: PretendedStream) -> Iterator[None]:
        streams.append(given)
        yield

    cuda: dict[str, Any] = {
        "Stream": PretendedStream,
        "stream": stream,
        "current_stream": lambda device=None: works[torch.device(device or "cuda").index or 0],
        "device": device,
        "is_available": lambda: True,
        "device_count": lambda: count,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "is_initialized": lambda: True,
        "_lazy_init": lambda: None,
        "is_bf16_supported": lambda including_emulation=True: True,
        "get_device_name": lambda device=None: f"pretended {kind}",
        "get_device_capability": lambda device=None: CAPABILITY,
        "get_device_properties": properties,
        "mem_get_info": lambda device=None: (memory(device).capacity - memory(device).held, memory(device).capacity),
        "memory_allocated": lambda device=None: memory(device).held,
        "memory_reserved": lambda device=None: memory(device).held,
        "max_memory_allocated": lambda device=None: memory(device).peak,
        "max_memory_reserved": lambda device=None: memory(device).peak,
        "reset_peak_memory_stats": reset_peak,
        "empty_cache": lambda: None,
        "synchronize": lambda device=None: wait("synchronize"),
        "Event": PretendedEvent,
    }
    mps: dict[str, Any] = {
        "is_available": lambda: True,
        "device_count": lambda: count,
        "current_allocated_memory": lambda: first.held,
        "driver_allocated_memory": lambda: first.held,
        "recommended_max_memory": lambda: first.capacity,
        "empty_cache": lambda: None,
        "synchronize": lambda: wait("synchronize"),
        "Event": PretendedEvent,
    }
    with ExitStack() as held:
        for module, names in [(torch.cuda, cuda)] if kind == "cuda" else [(torch.mps, mps)]:
            for name, value in names.items():
                held.enter_context(patch.object(module, name, value, create=True))
        if kind == "mps":
            held.enter_context(patch.object(torch.backends.mps, "is_available", lambda: True))
        yield
