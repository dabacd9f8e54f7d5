"""A device without memory: nodes run there without computing anything, and the bytes that they would hold are counted.

Tensors there have a shape and a type, and no numbers (torch's meta tensors). What is brought from there to the host is
zeros, and a number that the host reads there is 1. Attention and norms that GPUs have one kernel for are one operation.
Nothing of it outlives the block. Imports torch.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from types import TracebackType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from weft.engine.device import DRY_DEVICE

HOME = torch.device(DRY_DEVICE)

BLOCK = 512
"""CUDA's allocator gives memory in multiples of so many bytes."""

FUSED: Mapping[Any, Callable[..., Tensor]] = {
    torch.nn.functional.scaled_dot_product_attention: lambda query, key, value, *others, **options: torch.empty(
        (*query.shape[:-1], value.shape[-1]), dtype=query.dtype, device=query.device
    ),
    torch.rms_norm: lambda input, *others, **options: torch.empty_like(input),
}
"""What gives the result of functions that GPUs have one kernel for, in its size."""

MADE_OF_DATA = frozenset((torch.tensor, torch.as_tensor, torch.asarray))
"""Functions that copy what the host has, inside of which no mode is asked."""


class DryTensor(torch.Tensor):
    """A tensor on the device.

    Args:
        blank: its shape and type, a tensor of torch's meta device.
    """

    blank: Tensor

    device_in_use: ClassVar[DryDevice | None] = None

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, blank: Tensor) -> DryTensor:
        # In inference mode a view of a tensor that was made outside of it is one of its kind too.
        with torch.inference_mode(blank.is_inference()):
            made: DryTensor = torch.Tensor._make_wrapper_subclass(
                cls,
                blank.size(),
                strides=blank.stride(),
                storage_offset=blank.storage_offset(),
                dtype=blank.dtype,
                layout=blank.layout,
                device=HOME,
                requires_grad=False,
            )
        made.blank = blank
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"DryTensor({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if cls.device_in_use is None:
            raise RuntimeError(f"{func} on a tensor of a dry run that has ended")
        return cls.device_in_use.run(func, args, kwargs or {})


class DryDevice:
    """The device, as long as a block runs; one at a time in a process.

    Attributes:
        held: bytes that tensors hold.
        peak: the most that they have held at once.
    """

    _turn: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self.held = self.peak = 0
        self._tensors: dict[int, tuple[int, int]] = {}  # bytes and tensors of each storage
        self._open = ExitStack()

    def __enter__(self) -> DryDevice:
        enter = self._open.enter_context
        enter(self._turn)
        DryTensor.device_in_use = self
        self._open.callback(setattr, DryTensor, "device_in_use", None)
        # Parameters of modules that move are replaced: their kind of tensor is another one.
        replaced = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        self._open.callback(torch.__future__.set_overwrite_module_params_on_conversion, replaced)
        enter(_Calls())
        enter(_Operations())  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.close()

    def begin(self) -> None:
        """Count the peak from now on."""
        self.peak = self.held

    def run(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run an operation on shapes alone, where one of its tensors lies on the device or is to lie there."""
        leaves = tree_leaves((args, dict(kwargs)))
        there = any(isinstance(one, DryTensor) for one in leaves)
        wanted = next((one for one in leaves if isinstance(one, torch.device)), None)
        if not there and wanted != HOME:
            return func(*args, **kwargs)
        if _is_composite(func):
            with _Operations():  # type: ignore[no-untyped-call]
                return func.decompose(*args, **kwargs)
        name = func._schema.name.removeprefix("aten::")
        if name == "_local_scalar_dense":
            return _one(args[0].dtype)
        if name == "copy_" and not isinstance(args[0], DryTensor):
            return args[0].zero_()
        blank_args, blank_kwargs = tree_map(_blank_of, (tuple(args), dict(kwargs)))
        if wanted is not None and wanted != HOME:
            return _like_on_host(func(*blank_args, **{**blank_kwargs, "device": torch.device("meta")}), wanted)
        if wanted is not None:
            blank_kwargs["device"] = torch.device("meta")
        return self._placed(func(*blank_args, **blank_kwargs), [one for one in leaves if isinstance(one, DryTensor)])

    def _placed(self, results: Any, given: Sequence[DryTensor]) -> Any:
        """Results on the device; what an operation has changed and gives back is the same tensor as before."""
        known = {id(one.blank): one for one in given}

        def placed(one: Any) -> Any:
            if not isinstance(one, Tensor):
                return one
            return known[id(one)] if id(one) in known else self._taken(DryTensor(one))

        return tree_map(placed, results)

    def _taken(self, tensor: DryTensor) -> DryTensor:
        """A tensor that is counted; those that share a storage count once."""
        storage = tensor.blank.untyped_storage()
        key = storage._cdata
        size, tensors = self._tensors.get(key, (-(-storage.nbytes() // BLOCK) * BLOCK, 0))
        if not tensors:
            self.held += size
            self.peak = max(self.peak, self.held)
        self._tensors[key] = (size, tensors + 1)
        weakref.finalize(tensor, self._give_back, key).atexit = False
        return tensor

    def _give_back(self, key: int) -> None:
        size, tensors = self._tensors.pop(key)
        if tensors > 1:
            self._tensors[key] = (size, tensors - 1)
        else:
            self.held -= size


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees the operations that make tensors on the device."""

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        device = DryTensor.device_in_use
        return device.run(func, args, kwargs or {}) if device else func(*args, **(kwargs or {}))


class _Calls(TorchFunctionMode):
    """Sees the calls of torch that reach for a device before there is an operation."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func in MADE_OF_DATA and options.get("device") is not None and torch.device(options["device"]) == HOME:
            del options["device"]
            return func(*args, **options).to(HOME)
        if args and isinstance(args[0], DryTensor):
            if func in FUSED:
                return FUSED[func](*args, **options)
            if func is torch.Tensor.tolist:
                return args[0].cpu().tolist()
            if func is torch.Tensor.__setitem__ and not isinstance(args[2], Tensor):
                args = (*args[:2], torch.full((), args[2], dtype=args[0].dtype, device=HOME))
        return func(*args, **options)


def _blank_of(value: Any) -> Any:
    return value.blank if isinstance(value, DryTensor) else value


def _like_on_host(blanks: Any, device: torch.device) -> Any:
    """Zeros on the host in place of what is brought from the device."""
    return tree_map(lambda one: torch.zeros_like(one, device=device) if isinstance(one, Tensor) else one, blanks)


def _one(dtype: torch.dtype) -> bool | int | float:
    """The number that the host reads on the device."""
    if dtype is torch.bool:
        return True
    return 1.0 if dtype.is_floating_point else 1


@cache
def _is_composite(func: Any) -> bool:
    """Whether a function of torch is made of others on every device; in inference mode it comes as it is."""
    if not isinstance(func, torch._ops.OpOverload):
        return False
    name = f"{func._schema.name}.{func._schema.overload_name}".removesuffix(".")
    return torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeImplicitAutograd")
