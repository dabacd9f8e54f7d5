"""A module on a device: loaded once, patched as each of its users wants it.

One block uses a module at a time, and others wait for it. A block inside of it, on the same thread or in a copy of its
`contextvars` context, gets the module at once under the patches that it wants; when it ends, the block around it gets
its own again. Patches are undone when others are wanted or the module is evicted, not when a block ends: a hundred
items under one patch enter it once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from weft.engine.errors import ChangedFile, InputError
from weft.engine.keys import Digest
from weft.engine.loaded_modules import loaded_module
from weft.engine.store.codec import content_digest
from weft.engine.weights.recipes import Loading, Patch, Recipe, RestoreWeights, Undo
from weft.engine.weights.relief import Relief, report_relief
from weft.engine.weights.streaming import ORDER, WHOLE, Placing, StreamedNetworks, Streaming

_LIBRARIES = threading.RLock()
"""Held while anything is loaded. Loading through diffusers and transformers switches state of the process (torch's
default dtype, functions that initialise or register parameters), so no two loads overlap, on two devices either."""


@dataclass(frozen=True, eq=False)
class _Use:
    """A block that uses a module under some patches; `loading` is for these."""

    loading: Loading
    patches: tuple[Patch[Any], ...]
    digests: tuple[Digest, ...]


@dataclass(eq=False)
class Resident:
    """The module of a base on a device.

    Args:
        module: None until it is loaded.
        size: bytes of its weights that are on the device at once.
        pins: users, those that wait too; counted by the residency.
    """

    base: Recipe[Any]
    module: Any = None
    size: int = 0
    pins: int = 0
    _entered: list[tuple[Digest, Undo]] = field(default_factory=list)
    _uses: list[_Use] = field(default_factory=list)
    _streamed: StreamedNetworks | None = None
    _streaming: Streaming = "none"
    _waits: bool = False
    _settling: bool = False
    # Reentrant, so that a patch that asks for its own module fails instead of waiting for itself.
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def used(
        self, loading: Loading, patches: tuple[Patch[Any], ...], kind: type[Any], placing: Placing = WHOLE
    ) -> Iterator[Any]:
        """The module under exactly these patches while the block runs; loaded where it is not.

        Args:
            kind: the class that it must have.
            placing: how it is to lie; it may take less of the device, and inside of another use it stays as it is.
        """
        use, around = _Use(loading, patches, tuple(map(content_digest, patches))), _USES.get()
        with self._changed:
            if self._settling:
                raise RuntimeError(f"a patch of {self.base!r} asks for the module that it is entered into")
            # Even those that want equal patches wait: else two of them could wait for each other to change these.
            self._changed.wait_for(lambda: all(one in around for one in self._uses))
            self._uses.append(use)
            try:
                if self.module is None:
                    self._load(loading, placing)
                elif len(self._uses) == 1:
                    self._bring(loading.device, placing)
                _check_kind(self.base, self.module, kind)
                self._settle(use)
            except BaseException:
                self._end(use)
                raise
            module = self.module
        _USES.set((*around, use))
        try:
            yield module
        finally:
            _USES.set(around)
            with self._changed:
                self._end(use)

    @property
    def on_device(self) -> bool:
        """Whether there is a module, and it does not wait on the host."""
        return self.module is not None and not self._waits

    def move_to_host(self) -> None:
        """Let the module wait in the host's memory, without patches; nothing where it is in use again by now."""
        with self._changed:
            if self._uses or not self.on_device:
                return
            freed = self.size
            self._undo_to(0)
            self._end_streaming()
            for network in self.module.networks:
                _move_to_host(network)
            self._waits, self.size = True, 0
        report_relief(Relief("evicted", f"{self.base!r}, to the host", freed))

    def leave(self) -> None:
        """Undo all patches but those that change weights alone; for a module that is dropped."""
        with self._changed:
            self._entered = [(digest, undo) for digest, undo in self._entered if not isinstance(undo, RestoreWeights)]
            self._undo_to(0)
            self._discard()

    def _load(self, loading: Loading, placing: Placing) -> None:
        device = loading.device if placing.streaming == "none" else "cpu"
        with _LIBRARIES, _outside_inference():
            # A loader that waited for a module that another thread loads would wait for ever: it loads its own.
            with loading.sources.unchanged() as sources:
                module = self.base.load(replace(loading, device=device, hold=None, sources=sources))
            self.module = module
        self.size = module_bytes(self.module)
        self._place(loading.device, placing)

    def _bring(self, device: str, placing: Placing) -> None:
        """Place a module that is in memory."""
        if self._waits and placing.streaming == "none":
            try:
                with _outside_inference():
                    for network in self.module.networks:
                        network.to(device)
            except BaseException:
                self._discard()
                raise
            self.size = module_bytes(self.module)
        self._waits = False
        self._place(device, placing)

    def _place(self, device: str, placing: Placing) -> None:
        """Stream the module, where it takes more of the device than it is to."""
        if ORDER.index(placing.streaming) <= ORDER.index(self._streaming):
            return
        try:
            with _outside_inference():
                self._undo_to(0)
                self._end_streaming()
                self._streamed = streamed = StreamedNetworks(self.module.networks, device, placing)
        except BaseException:
            self._discard()
            raise
        self._streaming, self.size = placing.streaming, streamed.size
        by = "layer by layer" if streamed.by_layers else "block by block"
        report_relief(Relief("streamed", f"{self.base!r}, {by}", streamed.on_host))

    def _forget_ahead(self) -> None:
        if self._streamed:
            self._streamed.forget_ahead()

    def _end_streaming(self) -> None:
        if self._streamed:
            self._streamed.end()
        self._streamed, self._streaming = None, "none"

    def _end(self, use: _Use) -> None:
        """End a use; a block around it, if there is one, gets its own patches again."""
        self._uses.remove(use)
        self._forget_ahead()
        try:
            if self._uses and self.module is not None:
                self._settle(self._uses[-1])
        finally:
            self._changed.notify_all()

    def _settle(self, use: _Use) -> None:
        """Undo and enter patches until those of a use are in, in their order; common first ones stay as they are."""
        self._forget_ahead()
        pairs = zip(self._digests(), use.digests, strict=False)
        common = next((place for place, (one, other) in enumerate(pairs) if one != other), None)
        self._settling = True
        try:
            self._undo_to(min(len(self._entered), len(use.digests)) if common is None else common)
            for patch, digest in [*zip(use.patches, use.digests, strict=True)][len(self._entered) :]:
                with use.loading.sources.unchanged() as sources, _outside_inference():
                    undo = patch.enter(self.module, replace(use.loading, sources=sources, base=self.base))
                    self._entered.append((digest, undo))
        except ChangedFile:
            self._discard()
            raise
        except InputError:
            raise  # The patch does not fit, and has changed nothing.
        except BaseException:
            self._discard()
            raise
        finally:
            self._settling = False

    def _undo_to(self, count: int) -> None:
        """Undo patches, the last first, until so many are left."""
        while len(self._entered) > count:
            _, undo = self._entered.pop()
            try:
                with _outside_inference():
                    undo()
            except BaseException:
                self._discard()
                raise

    def _discard(self) -> None:
        """Forget a module of which it is not known what is in it, so that the next user loads it again."""
        self.module, self.size = None, 0
        self._end_streaming()
        self._waits = False
        self._entered.clear()

    def _digests(self) -> tuple[Digest, ...]:
        return tuple(digest for digest, _ in self._entered)


_USES: ContextVar[tuple[_Use, ...]] = ContextVar("uses of modules", default=())
"""The blocks that the present code runs inside of, innermost last."""


@contextmanager
def _outside_inference() -> Iterator[None]:
    """What is made while the block runs outlives the node that asks for it: tensors that can be changed and trained."""
    torch = loaded_module("torch")
    with torch.inference_mode(False) if torch and torch.is_inference_mode_enabled() else nullcontext():
        yield


def _move_to_host(network: Any) -> None:
    """Move a network to the host, with tables that its modules keep apart from their weights.

    Position tables of transformers are such: plain attributes, or results of methods that are cached for a module. A
    network that waits would leave them on the device; modules bring or compute them again as they are called.
    """
    network.to("cpu")
    for module in network.modules():
        for name, kept in [*vars(module).items()]:
            if _is_tensor(kept):
                vars(module)[name] = kept.to("cpu")
            elif isinstance(kept, list) and any(map(_is_tensor, kept)):
                vars(module)[name] = [one.to("cpu") if _is_tensor(one) else one for one in kept]
            elif hasattr(kept, "cache_clear"):
                kept.cache_clear()


def _is_tensor(kept: object) -> bool:
    torch = loaded_module("torch")
    return torch is not None and isinstance(kept, torch.Tensor)


def _check_kind(base: Recipe[Any], module: Any, kind: type[Any]) -> None:
    """Raise `InputError` where a recipe was loaded as something else than a node expects."""
    if not isinstance(module, kind):
        found = f"{type(base).__name__} is loaded as a {type(module).__name__}"
        raise InputError(f"{found}, expected a {kind.__name__}", "check its loader (loader_for)")


def module_bytes(module: Any) -> int:
    """The size of the parameters and buffers of a torch module, in bytes; 0 for anything else.

    An object that is not a module lists those that it has as `networks`.
    """
    networks = [one for one in getattr(module, "networks", (module,)) if hasattr(one, "parameters")]
    tensors = [tensor for one in networks for tensor in (*one.parameters(), *one.buffers())]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
