"""Networks of which parts lie in the host's memory, and are on the device only while they run.

Before a part runs, its tensors are copied to the device; where that has streams, while the part before it computes.
After it they are those of the host again: nothing is copied back, since nothing changes weights while a network runs.
So a patch changes what the host has, as often as others are
wanted, and results are those of a network that lies on the device whole, bit for bit. Parts are called as modules of
torch; a network whose parts are read by others without being called cannot be streamed.

diffusers' group offloading is not used for it: with streams it keeps copies of its own, which patches would not reach,
and it has no room for blocks that stay on the device.

Imports torch in functions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import update_wrapper
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

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

OVERLAPPING = PAGE_LOCKED | {"meta"}
"""Kinds of devices that copy during their work, and the one on which is counted what they would hold."""

_Sent: TypeAlias = "tuple[Any, str, Tensor, Tensor]"
"""The tensors of a module, the name of one, and what it is on the host and on the device."""

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
        largest, overlaps = _largest(parts), device.partition(":")[0] in OVERLAPPING
        if placing.streaming == "fitting":
            room = placing.room - (total - sum(one.size for one in parts)) - largest
            overlaps = overlaps and largest <= room
            room -= largest if overlaps else 0
        kept = []
        for one in parts:
            if one.size > room:
                break
            room -= one.size
            kept.append(one)
        streamed = parts[len(kept) :]
        self.by_layers = any(not one.whole for one in streamed) or placing.streaming == "layers"
        self.on_host = sum(one.size for one in streamed)
        # Of layers, which are many and small, only what fits with the one that runs into the room of the largest.
        largest = _largest(streamed) if self.by_layers else min(2 * _largest(streamed), self.on_host)
        self.size = total - self.on_host + (largest if overlaps else _largest(streamed))
        self._place(streamed, device)
        self._sender = PartSender(device, largest if overlaps else 0)
        self._ends = [self._sender.streamed(one) for one in streamed]
        self._sender.expect(streamed)
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

    def forget_ahead(self) -> None:
        """Drop what was sent ahead of its call."""
        self._sender.forget()

    def end(self) -> None:
        """Send nothing more; tensors stay where they are."""
        self.forget_ahead()
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


class PartSender:
    """Sends parts to a device, each before its calls, and ahead of that where the device copies during its work.

    What is sent goes by a stream of its own, which waits for the work that was asked for before the part that runs now.
    So a part is copied while the one before it computes, two are there at most, and their memory is used again.

    Args:
        ahead: bytes of the part that runs and the next one, up to which that is sent ahead.
    """

    def __init__(self, device: str, ahead: int) -> None:
        self._device = device
        self._ahead = ahead
        self._stream = _SideStream(device)
        self._sizes: dict[int, int] = {}
        self._following: dict[int, Part | None] = {}  # of each part, the one that is called after it, where that is one
        self._guessed: set[int] = set()  # parts of which that is not known yet
        self._last: Part | None = None
        self._coming: tuple[Part, list[_Sent]] | None = None

    def forget(self) -> None:
        """Drop what was sent ahead: nothing is called next, or weights of the host are changed."""
        self._coming = self._last = None

    def expect(self, parts: Sequence[Part]) -> None:
        """Take parts to be called in this order until it is known, so that what runs once is sent ahead too."""
        for one, following in pairwise(parts):
            self._following[id(one)] = following
            self._guessed.add(id(one))

    def streamed(self, part: Part) -> Callable[[], None]:
        """Send a part before each of its calls, and put the tensors of the host back after it, also where it fails.

        It is no hook of torch: those keep what a call that failed was given, as long as its traceback is kept.

        Returns:
            what ends it.
        """
        module, own = part.module, part.module.forward
        before = vars(module).get("forward")
        self._sizes[id(part)] = part.size

        def forward(*given: Any, **named: Any) -> Any:
            sent: list[_Sent] = []
            try:
                self._send(part, sent)
                return own(*given, **named)
            except BaseException:
                self.forget()
                raise
            finally:
                for tensors, name, tensor, _ in sent:
                    tensors[name] = tensor
                sent.clear()

        def end() -> None:
            vars(module).pop("forward", None)
            if before is not None:
                vars(module)["forward"] = before

        vars(module)["forward"] = update_wrapper(forward, own)
        return end

    def _send(self, part: Part, sent: list[_Sent]) -> None:
        """Have a part on the device; what its tensors were is added to `sent`."""
        coming, self._coming = self._coming, None
        if coming and coming[0] is part:
            sent += coming[1]
        else:
            coming = None  # another one, whose memory this one takes
            with self._stream.copying():
                sent += self._copied(part)
        del coming
        self._stream.join()
        for tensors, name, _, there in sent:
            tensors[name] = there
        self._send_ahead(part)

    def _send_ahead(self, part: Part) -> None:
        """Send the part that comes after one which is about to run, where there is room for both."""
        import torch

        following = self._next(part)
        if following is None or self._sizes[id(part)] + self._sizes[id(following)] > self._ahead:
            return
        try:
            with self._stream.copying():
                self._coming = following, self._copied(following)
        except torch.OutOfMemoryError:
            self._ahead = 0

    def _next(self, part: Part) -> Part | None:
        """The part that was called after this one, each time; notes that this one comes after the last."""
        if self._last is not None:
            last = id(self._last)
            if last in self._guessed:
                self._guessed.remove(last)
                self._following[last] = part
            elif self._following.setdefault(last, part) is not part:
                self._following[last] = None
        self._last = part
        return self._following.get(id(part))

    def _copied(self, part: Part) -> list[_Sent]:
        return [
            (tensors, name, tensor, tensor.to(self._device, non_blocking=True))
            for owner in _owners(part)
            for tensors in (owner._parameters, owner._buffers)
            for name, tensor in tensors.items()
            if tensor is not None and tensor.device.type == "cpu"
        ]


class _SideStream:
    """A stream apart from that of a device's work, for copies; where the device has none, both are one."""

    def __init__(self, device: str) -> None:
        import torch

        kind = device.partition(":")[0]
        self._device = device
        self._module: Any = getattr(torch, kind) if kind in PAGE_LOCKED else None
        self._side = self._module and self._module.Stream(device)

    @contextmanager
    def copying(self) -> Iterator[None]:
        """What is copied in the block goes by this stream, after the work that was asked for before."""
        if self._side is None:
            yield
            return
        self._side.wait_stream(self._module.current_stream(self._device))
        with self._module.stream(self._side):
            yield

    def join(self) -> None:
        """Have further work wait for the copies."""
        if self._side is not None:
            self._module.current_stream(self._device).wait_stream(self._side)
