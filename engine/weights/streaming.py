"""Networks of which parts lie in the host's memory, and are on the device only while they run.

Before a part runs, its tensors are copied to the device. After it they are those of the host again: nothing is copied
back, since nothing changes weights while a network runs. So a patch changes what the host has, as often as others are
wanted, and results are those of a network that lies on the device whole, bit for bit. Parts are called as modules of
torch; a network whose parts are read by others without being called cannot be streamed.

diffusers' group offloading is not used for it: with streams it keeps copies of its own, which patches would not reach,
and it has no room for blocks that stay on the device.

Imports torch in functions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Streaming = Literal["none", "fitting", "blocks", "layers"]
"""Which parts of a network are sent to the device as it runs. `none`: it lies there whole. `fitting`: the blocks for
which there is no room, or each layer where the rest has too little. `blocks`: all blocks. `layers`: each layer."""

ORDER: tuple[Streaming, ...] = ("none", "fitting", "blocks", "layers")
"""By how little is on the device at once."""

SHARE = 16
"""A block with more than this part of a network's bytes is divided into the blocks that it is made of."""

PAGE_LOCKED = frozenset(("cuda", "xpu"))
"""Kinds of devices that read page-locked memory of the host by themselves, several times as fast."""

_DEVICE = "_weft_streamed_to"
"""The attribute in which a network has the device that its parts are sent to."""


@dataclass(frozen=True)
class Placing:
    """How a module is to lie.

    Args:
        room: bytes of the device that it may take, for `fitting`.
    """

    streaming: Streaming = "none"
    room: int = 0


WHOLE = Placing()


@dataclass(frozen=True)
class Part:
    """A module whose tensors are sent together.

    Args:
        whole: whether those of the modules in it are sent too.
    """

    module: nn.Module
    whole: bool

    @property
    def size(self) -> int:
        """Bytes of its tensors."""
        return sum(map(_tensor_bytes, self.module.modules() if self.whole else (self.module,)))


class StreamedNetworks:
    """The networks of a module, streamed from now on until `end`.

    Args:
        networks: on the device or on the host.
        device: that they run on.

    Attributes:
        size: bytes that are on the device at once.
        on_host: bytes that are not there between calls.
    """

    def __init__(self, networks: Sequence[nn.Module], device: str, placing: Placing) -> None:
        self._networks = tuple(networks)
        total = sum(Part(one, True).size for one in self._networks)
        parts, room = _parts(self._networks, total, placing), 0
        if placing.streaming == "fitting":
            room = placing.room - (total - sum(one.size for one in parts)) - _largest(parts)
        kept = []
        for one in parts:
            if one.size > room:
                break
            room -= one.size
            kept.append(one)
        streamed = parts[len(kept) :]
        self.by_layers = any(not one.whole for one in streamed) or placing.streaming == "layers"
        self.on_host = sum(one.size for one in streamed)
        self.size = total - self.on_host + _largest(streamed)
        self._place(streamed, device)
        self._ends = [_stream(one, device) for one in streamed]
        for network in self._networks:
            vars(network)[_DEVICE] = device

    def _place(self, streamed: Sequence[Part], device: str) -> None:
        """Put streamed parts into the host's memory, then all others on the device."""
        moved: dict[int, Tensor] = {}
        on_host = {id(owner) for part in streamed for owner in _owners(part)}
        for part in streamed:
            for owner in _owners(part):
                _move(owner, "cpu", moved, lock=device.partition(":")[0] in PAGE_LOCKED)
        moved.clear()
        for network in self._networks:
            for owner in network.modules():
                if id(owner) not in on_host:
                    _move(owner, device, moved)

    def end(self) -> None:
        """Send nothing more; tensors stay where they are."""
        for end in self._ends:
            end()
        for network in self._networks:
            vars(network).pop(_DEVICE, None)


def device_of(network: Any) -> torch.device:
    """The device that a network runs on, also where its weights lie on the host."""
    import torch

    streamed_to = vars(network).get(_DEVICE)
    return network.device if streamed_to is None else torch.device(streamed_to)


def _parts(networks: Sequence[nn.Module], total: int, placing: Placing) -> list[Part]:
    """What is sent together: blocks, or layers where these are wanted or where blocks leave no room for the rest."""
    blocks = [part for one in networks for part in _blocks(one, Part(one, True).size // SHARE)]
    rest = total - sum(one.size for one in blocks)
    fits = placing.streaming == "blocks" or rest + _largest(blocks) <= placing.room
    if placing.streaming != "layers" and fits and blocks:
        return blocks
    # What a network itself has, outside of layers, is little, and others read it: Z-Image's ControlNets its pads.
    return [part for one in networks for child in one.children() for part in _layers(child, set())]


def _blocks(module: nn.Module, most: int) -> Iterator[Part]:
    """The blocks of a network: modules in lists, those that are not too large."""
    from torch import nn

    for child in module.children():
        part = Part(child, True)
        listed = isinstance(module, nn.ModuleList) and not isinstance(child, (nn.ModuleList, nn.ModuleDict))
        divided = part.size > most and any(isinstance(one, nn.ModuleList) for one in child.modules())
        if listed and part.size and not divided:
            yield part
        else:
            yield from _blocks(child, most)


def _layers(module: nn.Module, seen: set[int]) -> Iterator[Part]:
    """The layers of torch in a network with all that is in them, and other modules with tensors of their own."""
    if id(module) in seen:
        return
    seen.add(id(module))
    if _is_layer(module):
        yield Part(module, True)
        return
    if _tensor_bytes(module):
        yield Part(module, False)
    for child in module.children():
        yield from _layers(child, seen)


def _is_layer(module: nn.Module) -> bool:
    """Whether a module is one of torch's own that computes, or of a class of one."""
    modules = [kind.__module__ for kind in type(module).__mro__]
    own = [one for one in modules if one.startswith("torch.nn.modules.")]
    return any(one not in ("torch.nn.modules.module", "torch.nn.modules.container") for one in own)


def _owners(part: Part) -> Iterator[nn.Module]:
    return part.module.modules() if part.whole else iter((part.module,))


def _tensor_bytes(module: nn.Module) -> int:
    """Bytes of the tensors of a module itself."""
    return sum(one.nbytes for one in (*module._parameters.values(), *module._buffers.values()) if one is not None)


def _largest(parts: Sequence[Part]) -> int:
    return max((one.size for one in parts), default=0)


def _move(owner: nn.Module, device: str, moved: dict[int, Tensor], lock: bool = False) -> None:
    """Move the tensors of a module itself; those that several modules share are moved once.

    Args:
        moved: the tensors that were moved, by the identity of what they were before.
        lock: whether they are put into page-locked memory, as far as there is any.
    """
    from torch import nn

    for name, parameter in owner._parameters.items():
        if parameter is not None:
            if id(parameter) not in moved:
                moved[id(parameter)] = nn.Parameter(_moved(parameter.data, device, lock), requires_grad=False)
            owner._parameters[name] = moved[id(parameter)]  # type: ignore[assignment]
    for name, buffer in owner._buffers.items():
        if buffer is not None:
            owner._buffers[name] = _moved(buffer, device, lock)


def _moved(tensor: Tensor, device: str, lock: bool) -> Tensor:
    there = tensor.to(device)
    if not lock or there.is_pinned():
        return there
    try:
        return there.pin_memory()
    except RuntimeError:  # the system gives no more of it
        return there


def _stream(part: Part, device: str) -> Callable[[], None]:
    """Send a part before each of its calls, and put the tensors of the host back after it, also where it fails.

    It is no hook of torch: those keep what a call that failed was given, as long as its traceback is kept.

    Returns:
        what ends it.
    """
    module, own = part.module, part.module.forward
    before = vars(module).get("forward")

    def forward(*given: Any, **named: Any) -> Any:
        kept: list[tuple[Any, str, Tensor]] = []
        try:
            _send(module, part.whole, device, kept)
            return own(*given, **named)
        finally:
            for tensors, name, tensor in kept:
                tensors[name] = tensor

    def end() -> None:
        vars(module).pop("forward", None)
        if before is not None:
            vars(module)["forward"] = before

    vars(module)["forward"] = update_wrapper(forward, own)
    return end


def _send(module: nn.Module, whole: bool, device: str, kept: list[tuple[Any, str, Tensor]]) -> None:
    """Copy tensors of the host to the device; what they were is added to `kept`."""
    for owner in module.modules() if whole else (module,):
        for tensors in (owner._parameters, owner._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and tensor.device.type == "cpu":
                    kept.append((tensors, name, tensor))
                    tensors[name] = tensor.to(device, non_blocking=True)  # type: ignore[assignment]
