"""The memory of a pretended device: bytes that tensors hold, their peak, and the error where there are no more."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

import torch

from tests.device.pretended_tensor import PretendedTensor

BLOCK = 512
"""CUDA's allocator gives memory in multiples of so many bytes."""


@dataclass
class DeviceMemory:
    """Bytes on one pretended device. There is no fragmentation: what is free can be had in one piece.

    Args:
        home: the device.
        capacity: bytes that it has; may be changed at any time.
        held: bytes that tensors hold.
        peak: the most that they have held at once.
    """

    home: torch.device
    capacity: int
    held: int = 0
    peak: int = 0
    _tensors: dict[int, tuple[int, int]] = field(default_factory=dict)  # bytes and tensors of each storage

    def take(self, tensor: PretendedTensor) -> None:
        """Count a tensor that was made; tensors that share a storage count once.

        Raises:
            torch.OutOfMemoryError: where there is too little left.
        """
        storage = tensor.host.untyped_storage()
        key = storage._cdata
        size, tensors = self._tensors.get(key, (-(-storage.nbytes() // BLOCK) * BLOCK, 0))
        if not tensors:
            self._check(size)
            self.held += size
            self.peak = max(self.peak, self.held)
        self._tensors[key] = (size, tensors + 1)
        tensor.counted = finalizer = weakref.finalize(tensor, self._give_back, key)
        finalizer.atexit = False

    def _check(self, size: int) -> None:
        if self.held + size > self.capacity:
            place = f"GPU {self.home.index}" if self.home.type == "cuda" else "MPS backend"
            raise torch.OutOfMemoryError(
                f"{self.home.type.upper()} out of memory. Tried to allocate {_mib(size)}. {place} has a total capacity "
                f"of {_mib(self.capacity)} of which {_mib(self.capacity - self.held)} is free."
            )

    def _give_back(self, key: int) -> None:
        size, tensors = self._tensors.pop(key)
        if tensors > 1:
            self._tensors[key] = (size, tensors - 1)
        else:
            self.held -= size


def _mib(size: int) -> str:
    return f"{size / 2**20:.2f} MiB"
