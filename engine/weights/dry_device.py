"""A device without memory: nodes run there without computing anything, and the bytes that they would hold are counted.

Tensors there have a shape and a type, and no numbers (torch's meta tensors), but for those that follow from the whole
numbers of the host: masks, tokens, lengths and places are known there too, since networks are called for as many tokens
as a mask has. Of what is not known, the host gets zeros, and reads 1 where it reads a number; where sizes follow from
such numbers, all are 1: a mask has all tokens, its opposite none, and one expert gets all of them. Attention and norms
that GPUs have one kernel for are one operation. Nothing of it outlives the block. Imports torch.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
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

MOST_BROUGHT = 2**16
"""Elements of a tensor that keeps its numbers where it comes from the host."""

MOST_KNOWN = 2**20
"""Elements of one that is computed from such."""

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
        known: its numbers, on the host; views of one storage are views of one here too.
    """

    blank: Tensor
    known: Tensor | None

    device_in_use: ClassVar[DryDevice | None] = None

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, blank: Tensor, known: Tensor | None = None) -> DryTensor:
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
        made.blank, made.known = blank, known
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
        self._overwritten: set[int] = set()  # storages that were given numbers that are not known
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
            known = self._known_of(args[0])
            return _one(args[0].dtype) if known is None else known.item()
        if name == "equal":
            pair = self._numbers(func, args, kwargs)
            return func(*pair[0]) if pair else True
        if name == "copy_" and not isinstance(args[0], DryTensor):
            known = self._known_of(args[1])
            return args[0].zero_() if known is None else args[0].copy_(known)
        numbers = self._numbers(func, args, kwargs)
        if torch.Tag.dynamic_output_shape in func.tags and not _is_indexed(args):
            sizing = numbers or self._numbers(func, args, kwargs, torch.ones_like)
            found = func(*sizing[0], **sizing[1])
            results = tree_map(_blank_like, found)
            known = found if numbers else tree_map(lambda one: None if one.is_floating_point() else one, found)
        else:
            blank_args, blank_kwargs = tree_map(_blank_of, (self._by_rows(args), dict(kwargs)))
            if wanted is not None:
                blank_kwargs["device"] = torch.device("meta")
            results = func(*blank_args, **blank_kwargs)
            known = func(*numbers[0], **numbers[1]) if numbers and _are_few(results) else None
        if known is None:
            self._overwritten.update(one.blank.untyped_storage()._cdata for one in _written(func, args, kwargs))
        if wanted is not None and wanted != HOME:
            return _zeros_on(results, wanted) if known is None else known
        return self._placed(results, known, [one for one in leaves if isinstance(one, DryTensor)])

    def _known_of(self, tensor: Tensor) -> Tensor | None:
        """The numbers of a tensor, where they are known; those of the host are where they are few and whole."""
        if isinstance(tensor, DryTensor):
            stale = tensor.blank.untyped_storage()._cdata in self._overwritten
            return None if stale else tensor.known
        few = tensor.numel() <= (1 if tensor.is_floating_point() or tensor.is_complex() else MOST_BROUGHT)
        return tensor if few and tensor.device.type == "cpu" else None

    def _numbers(
        self,
        func: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        unknown: Callable[..., Tensor] | None = None,
    ) -> Any:
        """The arguments of an operation as those of one on the host; None where not all numbers are known.

        Args:
            unknown: gives numbers in place of those that are not, like a tensor.
        """
        # What is drawn would be drawn from the host's generator, which others use.
        if torch.Tag.nondeterministic_seeded in func.tags or "empty" in func._schema.name:
            return None
        given = [one for one in tree_leaves((args, dict(kwargs))) if isinstance(one, Tensor)]
        if unknown is None and any(self._known_of(one) is None for one in given):
            return None

        def on_host(value: Any) -> Any:
            if isinstance(value, torch.device):
                return torch.device("cpu")
            if not isinstance(value, DryTensor):
                return value
            known = self._known_of(value)
            return unknown(value.blank, device="cpu") if known is None and unknown else known

        return tree_map(on_host, (tuple(args), dict(kwargs)))

    def _by_rows(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """Arguments of an operation with the masks that it is indexed by as numbers of rows, as many as are true."""
        if not _is_indexed(args):
            return tuple(args)
        indices: list[Any] = []
        for one in args[1]:
            if isinstance(one, DryTensor) and one.dtype in (torch.bool, torch.uint8):
                known = self._known_of(one)
                mask = torch.ones_like(one.blank, device="cpu") if known is None else known
                indices += [_blank_like(rows) for rows in mask.nonzero().unbind(1)]
            else:
                indices.append(one)
        return (args[0], indices, *args[2:])

    def _placed(self, results: Any, known: Any, given: Sequence[DryTensor]) -> Any:
        """Results on the device; what an operation has changed and gives back is the same tensor as before."""
        same = {id(one.blank): one for one in given}

        def placed(one: Any, number: Any) -> Any:
            if not isinstance(one, Tensor):
                return one
            if number is None and one.dtype is torch.bool and one.numel() <= MOST_KNOWN:
                number = torch.ones_like(one, device="cpu")  # rows of a mask and of its opposite are as many as rows
            return same[id(one)] if id(one) in same else self._taken(DryTensor(one, number))

        if known is None:
            return tree_map(lambda one: placed(one, None), results)
        return tree_map(placed, results, known)

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
            self._overwritten.discard(key)


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


def _blank_like(value: Any) -> Any:
    return torch.empty_like(value, device="meta") if isinstance(value, Tensor) else value


def _zeros_on(blanks: Any, device: torch.device) -> Any:
    """Zeros on the host in place of what is brought from the device."""
    return tree_map(lambda one: torch.zeros_like(one, device=device) if isinstance(one, Tensor) else one, blanks)


def _is_indexed(args: Sequence[Any]) -> bool:
    """Whether an operation has a list of indices, as `index` and `index_put`."""
    return len(args) > 1 and isinstance(args[1], (list, tuple)) and any(isinstance(one, Tensor) for one in args[1])


def _are_few(results: Any) -> bool:
    """Whether results are small enough to be computed on the host."""
    return sum(one.numel() for one in tree_leaves(results) if isinstance(one, Tensor)) <= MOST_KNOWN


def _written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[DryTensor]:
    """The tensors on the device that an operation writes to."""
    for place, one in enumerate(func._schema.arguments):
        if one.alias_info is not None and one.alias_info.is_write:
            given = args[place] if place < len(args) else kwargs.get(one.name)
            yield from (tensor for tensor in tree_leaves(given) if isinstance(tensor, DryTensor))


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
