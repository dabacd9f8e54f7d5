"""The tensor of a pretended device: host memory that says of itself that it lies on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

HOMES = {index: torch.device(name) for index, name in enumerate(("cuda:0", "cuda:1", "mps:0"))}
"""The devices that can be pretended, by the index of the meta device that stands for each inside torch."""

INDICES = {home: index for index, home in HOMES.items()}

KINDS = frozenset(home.type for home in HOMES.values())


class PretendedTensor(torch.Tensor):
    """A tensor on a pretended device.

    Inside of torch it is a tensor of the `meta` device, the one device without memory that every build has; each index
    of it stands for one of `HOMES`. To Python it has the device that it pretends.

    Args:
        host: what it holds, on the CPU.
        home: its device.
    """

    host: Tensor
    home: torch.device
    counted: Callable[[], object]
    """Ends the count of the memory that it was made with."""
    shared: Tensor
    """Whose memory it has, where its data were replaced."""

    run: ClassVar[Callable[[Any, Sequence[Any], Mapping[str, Any]], Any] | None] = None
    """Runs an operation on the pretended devices that are open; None where there are none."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, host: Tensor, home: torch.device) -> PretendedTensor:
        # In inference mode a view of a tensor that was made outside of it is one of its kind too.
        with torch.inference_mode(host.is_inference()):
            made: PretendedTensor = torch.Tensor._make_wrapper_subclass(
                cls,
                host.size(),
                strides=host.stride(),
                storage_offset=host.storage_offset(),
                dtype=host.dtype,
                layout=host.layout,
                device=torch.device("meta", INDICES[home]),
                requires_grad=False,
            )
        made.host, made.home = host, home
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]  # a member of the class in torch
        return self.home

    @property
    def data(self) -> Tensor:
        """What an assignment replaces: the tensor then holds what the other one does, and shares its memory."""
        return self.detach()

    @data.setter
    def data(self, other: Tensor) -> None:
        assert isinstance(other, PretendedTensor)
        assert (other.shape, other.dtype, other.home) == (self.shape, self.dtype, self.home)
        self.counted()
        self.host, self.counted = other.host, _nothing
        self.shared = other  # which is counted as long as it lives

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return self.home.type == "cuda"

    @property
    def is_mps(self) -> bool:  # type: ignore[override]
        return self.home.type == "mps"

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        return False

    def __repr__(self) -> str:  # type: ignore[override]
        return f"PretendedTensor({tuple(self.shape)}, {self.dtype}, {self.home})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if PretendedTensor.run is None:
            raise RuntimeError(f"{func} on a tensor of a pretended device that is closed")
        return PretendedTensor.run(func, args, kwargs or {})


def _nothing() -> None:
    """The memory of a tensor whose data were replaced is counted for another one."""


def host_of(value: Any) -> Any:
    """What a tensor of a pretended device holds; anything else as it is."""
    return value.host if isinstance(value, PretendedTensor) else value


def home_of(tensor: Tensor) -> torch.device:
    """The device of a tensor, as a program sees it."""
    return tensor.home if isinstance(tensor, PretendedTensor) else tensor.device


def named_home(device: Any) -> torch.device | None:
    """The pretended device that a program names, or one that stands for it inside torch; None for others."""
    if device is None:
        return None
    named = torch.device(device)
    if named.type == "meta":
        return HOMES[named.index] if named.index is not None else None
    return torch.device(named.type, named.index or 0) if named.type in KINDS else None


def changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """Arguments or results of an operation with each leaf changed. torch's own `tree_map` takes ten times as long."""
    kind = type(value)
    if kind is tuple or kind is list:
        return kind([changed(one, change) for one in value])
    if kind is dict:
        return {name: changed(one, change) for name, one in value.items()}
    return change(value)


def leaves(value: Any) -> list[Any]:
    """The leaves of arguments or results."""
    found: list[Any] = []
    changed(value, found.append)
    return found
