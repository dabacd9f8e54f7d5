"""The device that is measured: a GPU, one that is pretended, or the CPU, where the script is tried out."""

from __future__ import annotations

import gc
import platform
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch

from tests.device.pretended import PretendedDevices

CONTEXT = 600 * 2**20
"""Bytes that CUDA's context takes of a card, about."""


@dataclass(frozen=True)
class Card:
    """A device.

    Args:
        device: as torch calls it.
        pretended: the machine that it is pretended on; None for one that is there.
    """

    device: str
    pretended: PretendedDevices | None = None

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU that is there."""
        return self.device.startswith("cuda") and self.pretended is None

    @property
    def name(self) -> str:
        """What it is called, fit for a file name."""
        called = torch.cuda.get_device_name(self.device) if self.device.startswith("cuda") else platform.machine()
        return re.sub(r"[^A-Za-z0-9]+", "-", called)

    def wait(self) -> None:
        """Wait until it has done its work."""
        if self.is_gpu:
            torch.cuda.synchronize(self.device)

    @property
    def held(self) -> float:
        """GiB that tensors hold."""
        return torch.cuda.memory_allocated(self.device) / 2**30 if self.device.startswith("cuda") else 0.0

    @property
    def peak(self) -> float:
        """The most GiB that they have held since `reset`."""
        return torch.cuda.max_memory_allocated(self.device) / 2**30 if self.device.startswith("cuda") else 0.0

    def reset(self) -> None:
        """Give back what nobody holds, and count peaks from now on."""
        gc.collect()
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def seconds(self, call: Callable[[], object]) -> float:
        """How long a call takes, and the device's work for it."""
        self.wait()
        started = time.perf_counter()
        call()
        self.wait()
        return time.perf_counter() - started

    def milliseconds(self, call: Callable[[], object], repeats: int, warm: int = 1) -> float:
        """The median of some calls, after others that do not count."""
        for _ in range(warm):
            call()
        return 1e3 * median(self.seconds(call) for _ in range(repeats))

    @contextmanager
    def capped(self, gib: float) -> Iterator[None]:
        """Let it be a card with less memory, for this process."""
        if self.pretended is not None:
            memory = self.pretended[self.device]
            before, memory.capacity = memory.capacity, int(gib * 2**30)
            try:
                yield
            finally:
                memory.capacity = before
        elif not self.is_gpu:
            yield
        else:
            most = int(gib * 2**30) - CONTEXT
            ask, whole = torch.cuda.mem_get_info, torch.cuda.mem_get_info(self.device)[1]

            def less(device: object = None) -> tuple[int, int]:
                return min(ask(self.device)[0], most - torch.cuda.memory_reserved(self.device)), int(gib * 2**30)

            torch.cuda.set_per_process_memory_fraction(most / whole, self.device)
            try:
                with patch.object(torch.cuda, "mem_get_info", less):
                    yield
            finally:
                torch.cuda.set_per_process_memory_fraction(1.0, self.device)

    def waits(self, call: Callable[[], object]) -> int:
        """How often a call makes the host wait for the device."""
        if self.pretended is not None:
            self.pretended.reset()
            call()
            return self.pretended.waits.total()
        if not self.is_gpu:
            call()
            return 0
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                call()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(one.message) for one in heard)


@dataclass(frozen=True)
class Place:
    """Where is measured.

    Args:
        tiny: whether networks are small and pictures too, to try the script out.
        folder: for models that are made; they are kept for later parts.
    """

    card: Card
    tiny: bool
    folder: Path
