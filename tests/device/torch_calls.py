"""Calls of torch that no dispatch mode sees as they are, put into those that it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.device.pretended_tensor import KINDS, PretendedTensor, changed, named_home

FUSED = frozenset((torch.nn.functional.scaled_dot_product_attention, torch.rms_norm))
"""Functions that GPUs have a kernel for, and that torch takes apart where it does not know the device."""

MADE_OF_DATA = frozenset((torch.tensor, torch.as_tensor, torch.asarray))
"""Functions that copy what the host has, inside of which no mode is asked."""

Run = Callable[[Any, Sequence[Any], Mapping[str, Any]], Any]


@dataclass(frozen=True)
class TorchCalls:
    """A call of a function of torch, in a thread that sees pretended devices.

    Args:
        run: runs a function as one operation.
        pinned: the storages that pretend to be page-locked.
    """

    run: Run
    pinned: dict[int, torch.UntypedStorage]

    def __call__(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if func is torch.Tensor.pin_memory:
            return self._pinned(args[0].clone())
        if func is torch.Tensor.is_pinned:
            return args[0].untyped_storage()._cdata in self.pinned
        if kwargs.pop("pin_memory", False):
            return self._pinned(func(*args, **kwargs))
        if func in (torch.Tensor.cuda, torch.Tensor.cpu):
            name = "cpu" if func is torch.Tensor.cpu else "cuda"
            return args[0].to(torch.device(name, 0) if name == "cuda" else name)
        if func in MADE_OF_DATA:
            return self._made_of_data(func, args, kwargs)
        args, kwargs = changed((tuple(args), kwargs), _with_index)
        if isinstance(kwargs.get("device"), str):
            kwargs["device"] = _with_index(torch.device(kwargs["device"]))
        if func is torch.Tensor.to and len(args) > 1 and isinstance(args[1], str):
            args = (args[0], _with_index(torch.device(args[1])), *args[2:])
        if args and isinstance(args[0], PretendedTensor):
            return self._of_pretended(func, args, kwargs)
        return func(*args, **kwargs)

    def _of_pretended(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        tensor = args[0]
        if func in FUSED:
            return self.run(func, args, kwargs)
        if func is torch.Tensor.__getitem__:
            return func(tensor, self._index(tensor, args[1]))
        if func is torch.Tensor.__setitem__:
            value = args[2]
            if not isinstance(value, Tensor):
                value = torch.full((), value, dtype=tensor.dtype, device=tensor.home)
            return func(tensor, self._index(tensor, args[1]), value)
        if func is torch.Tensor.tolist:
            return tensor.cpu().tolist()
        if func is torch.Tensor.to and _is_already(tensor, [*args[1:], *kwargs.values()]):
            return tensor
        if func is torch.Tensor.numpy:
            raise TypeError(f"can't convert {tensor.home} device type tensor to numpy. Use Tensor.cpu() first.")
        return func(*args, **kwargs)

    def _pinned(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self.pinned[storage._cdata] = storage
        return tensor

    def _made_of_data(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """A tensor of numbers that the host has: made there, and brought by a copy that the host waits for."""
        device, data = kwargs.get("device"), args[0]
        if isinstance(data, PretendedTensor):
            return data.to(**{name: kwargs[name] for name in ("device", "dtype") if kwargs.get(name) is not None})
        # Numbers on the device are read one by one.
        data = changed(data, lambda one: one.item() if isinstance(one, PretendedTensor) else one)
        home = named_home(device)
        if home is None:
            return func(data, *args[1:], **kwargs)
        kwargs.pop("device")
        return func(data, *args[1:], **kwargs).to(home)

    def _index(self, tensor: PretendedTensor, at: Any) -> Any:
        """What a tensor is indexed with: a list becomes a tensor on its device, by a copy, as inside of torch."""
        if isinstance(at, list):
            return torch.tensor(at).to(tensor.home)
        return tuple(self._index(tensor, one) for one in at) if isinstance(at, tuple) else at


def _with_index(value: Any) -> Any:
    """A device that can be pretended with its index, for which torch would ask the device itself."""
    return named_home(value) if isinstance(value, torch.device) and value.type in KINDS else value


def _is_already(tensor: PretendedTensor, wanted: Sequence[Any]) -> bool:
    """Whether a tensor has the device and the type that it is asked to have, which torch then gives as it is."""
    if any(isinstance(one, Tensor) or one is True for one in wanted):  # like another tensor, or in any case a copy
        return False
    homes = [named_home(one) for one in wanted if isinstance(one, (str, torch.device))]
    types = [one for one in wanted if isinstance(one, torch.dtype)]
    formats = [one for one in wanted if isinstance(one, torch.memory_format) and one is not torch.preserve_format]
    return all(one == tensor.home for one in homes) and all(one is tensor.dtype for one in types) and not formats
