"""What CUDA and MPS refuse, what makes the host wait for them, and what launches nothing there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.device.pretended_tensor import PretendedTensor, home_of, leaves

VIEWS = frozenset(
    (
        "view",
        "_unsafe_view",
        "t",
        "transpose",
        "permute",
        "expand",
        "slice",
        "select",
        "unsqueeze",
        "squeeze",
        "as_strided",
        "detach",
        "alias",
        "split",
        "split_with_sizes",
        "chunk",
        "unbind",
        "reshape",
        "_reshape_alias",
        "narrow",
        "view_as",
        "unfold",
        "diagonal",
        "movedim",
        "lift_fresh",
        "unsafe_split",
        "unsafe_chunk",
        "view_as_real",
        "view_as_complex",
    )
)
"""Operations that give another view of the same memory."""

FREE = frozenset(
    (
        "empty",
        "empty_strided",
        "empty_like",
        "new_empty",
        "new_empty_strided",
        "_local_scalar_dense",
        "is_same_size",
    )
)
"""Other operations that launch nothing."""

COPIES = frozenset(("_to_copy", "copy_"))

READ_ON_HOST = {
    "_local_scalar_dense": "item",
    "nonzero": "nonzero",
    "masked_select": "masked_select",
    "_unique2": "unique",
    "unique_dim": "unique",
    "unique_consecutive": "unique",
    "equal": "equal",
    "_linalg_check_errors": "linalg",
}
"""Operations of which the host reads the result, or its size, and what the waits for them are called."""

INDEXED = frozenset(("index", "index_put", "index_put_", "_index_put_impl_"))

ON_ONE_DEVICE = frozenset(("cat", "stack", "embedding", "gather", "scatter", "scatter_", "index_select"))
"""Operations that take no number from the host in place of a tensor."""

NOT_ON_MPS = frozenset((torch.float64, torch.complex128))
"""What MPS does not have."""


def check_devices(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], tensors: Sequence[Tensor], home: torch.device
) -> None:
    """Raise what torch raises where an operation on `home` is given tensors of other devices."""
    generator = kwargs.get("generator")
    if generator is not None and generator.device.type != home.type:
        raise RuntimeError(f"Expected a '{home.type}' device type for generator but found '{generator.device.type}'")
    homes = {one.home for one in tensors if isinstance(one, PretendedTensor)}
    indices = list(_indices(name, args))
    if len(homes) > 1:
        raise _mixed(name, sorted(map(str, homes)))
    if indices and not isinstance(args[0], PretendedTensor):
        raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
    for one in tensors:
        of_host = not isinstance(one, PretendedTensor) and not any(one is other for other in indices)
        if of_host and (one.dim() or name in ON_ONE_DEVICE):
            raise _mixed(name, [str(home), f"cpu {tuple(one.shape)} {one.dtype}"])


def _mixed(name: str, found: Sequence[str]) -> RuntimeError:
    text = f"Expected all tensors to be on the same device, but found at least two devices, {' and '.join(found)}"
    return RuntimeError(f"{text}! (in {name})")


def check_dtypes(results: Any, home: torch.device) -> None:
    """Raise what torch raises for tensors that MPS cannot hold."""
    if home.type == "mps" and any(one.dtype in NOT_ON_MPS for one in leaves(results) if _is_tensor(one)):
        raise TypeError(
            "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. "
            "Please use float32 instead."
        )


def waits_of(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], target: torch.device, pinned: Collection[int]
) -> Iterator[str]:
    """What the host waits for in an operation, once for each wait.

    Args:
        target: where its result lies.
        pinned: the storages of page-locked host memory, by address.
    """
    if name in COPIES:
        source = args[1] if name == "copy_" else args[0]
        if home_of(source).type != target.type and not _asynchronous(name, args, kwargs, pinned):
            yield "device to host" if target.type == "cpu" else "host to device"
    if name in READ_ON_HOST:
        yield READ_ON_HOST[name]
    if name == "repeat_interleave" and kwargs.get("output_size") is None:
        yield name
    for one in _indices(name, args):
        if one.dtype in (torch.bool, torch.uint8):
            yield "boolean index"
        elif not isinstance(one, PretendedTensor):
            yield "host index list"


def _asynchronous(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], pinned: Collection[int]) -> bool:
    """Whether a copy between host and device is one that the host does not wait for.

    It is asked for as one, and CUDA reads from or writes to page-locked memory. A copy to the host that makes its own
    tensor makes it page-locked.
    """
    if not (kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2])):
        return False
    tensors = args[:2] if name == "copy_" else args[:1]
    devices = [one.home.type for one in tensors if isinstance(one, PretendedTensor)]
    hosts = [one for one in tensors if not isinstance(one, PretendedTensor)]
    return "mps" in devices or all(one.untyped_storage()._cdata in pinned for one in hosts)


def _indices(name: str, args: Sequence[Any]) -> Iterator[Tensor]:
    """The tensors that an operation indexes with."""
    if name in INDEXED:
        yield from filter(_is_tensor, leaves(args[1]))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)
