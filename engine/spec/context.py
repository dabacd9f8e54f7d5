"""The engine as a running node sees it: progress, cancel, device, precision, weights, files.

A node gets one by a parameter `context: Context = INJECTED`: it is no input, and a type checker sees that callers
leave it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from weft.engine.device import Offload, part_precision
from weft.engine.errors import Cancelled, ChangedFile, InputError
from weft.engine.keys import digest_bytes
from weft.engine.limits import Limits
from weft.engine.process_end import raise_if_ending
from weft.engine.weights.savings import Saving, Savings

if TYPE_CHECKING:  # whoever checks a graph imports this module, and needs nothing of what runs one
    from weft.engine.events import Preview
    from weft.engine.spec.checkpoints import Checkpoints
    from weft.engine.weights.device_lane import DeviceLane
    from weft.engine.weights.recipes import Patch, Recipe
    from weft.engine.weights.residency import Residency
    from weft.engine.weights.resources import HashedResource, Resolved
    from weft.engine.weights.streaming import Streaming

M = TypeVar("M")

STREAMS: tuple[Literal["blocks", "layers"], ...] = ("blocks", "layers")
"""The savings that are kinds of streaming, the one that saves most last."""

LEAST: Mapping[Offload, Streaming] = {"group": "blocks", "sequential": "layers"}
"""What is streamed however much room there is, by what leaves the device for the host."""


def _silent(step: int, steps: int, preview: Preview | None, measured: Mapping[str, float]) -> None:
    """Progress that nobody listens to."""


def _no_checkpoints() -> Checkpoints:
    from weft.engine.spec.checkpoints import Checkpoints

    return Checkpoints()


def never() -> bool:
    """Nobody asks to stop."""
    return False


@dataclass(frozen=True)
class Context:
    """The engine, as one call of a node sees it.

    Args:
        device: where weights run: `cpu`, `cuda:0`, `mps`.
        setting: the precision of the engine, resolved; `part_precision` gives that of a part.
        residency: keeps weights on devices.
        limits: what a node may make at most.
        preview_decoders: a folder of small decoders that draw previews; None has none.
        savings: of memory, that this call is asked for.
        on_weights: called with each recipe whose weights are used.
        checkpoints: keeps how far the call has come; by default nothing is kept.
        lane: in which code that uses weights takes its turns; the device's own one where left out.
    """

    device: str
    setting: str
    residency: Residency = field(repr=False)
    resources: Mapping[str, HashedResource] = field(default_factory=dict, repr=False)
    on_progress: Callable[[int, int, Preview | None, Mapping[str, float]], None] = field(default=_silent, repr=False)
    cancelled: Callable[[], bool] = field(default=never, repr=False)
    lane: DeviceLane | None = field(default=None, repr=False)
    limits: Limits = field(default_factory=Limits, repr=False)
    preview_decoders: Path | None = field(default=None, repr=False)
    savings: Savings = field(default_factory=Savings, repr=False)
    on_weights: Callable[[Recipe[Any]], object] = field(default=id, repr=False)
    checkpoints: Checkpoints = field(default_factory=_no_checkpoints, repr=False)

    @property
    def precision(self) -> str:
        """The precision of weights of whom nothing else is known: `float32`, `float16` or `bfloat16`."""
        return self.part_precision(("float16",))

    def part_precision(self, published: Sequence[str], asked: str = "auto") -> str:
        """The precision of a part of a model: the one that was asked for, or that which suits the part on the device.

        Args:
            published: the formats that the part may run in where none was asked for, the best first.
            asked: for this part alone; `auto` is the precision of the engine.
        """
        return part_precision(self.setting, published) if asked == "auto" else asked

    def progress(self, step: int, steps: int, preview: Preview | None = None, **measured: float) -> None:
        """Report that `step` of `steps` is done.

        Args:
            preview: paints what there is by now; called where somebody wants to see it, and now is the time.
            measured: numbers of this step by name, for whoever follows: the loss of a training.

        Raises:
            Cancelled: where the run was asked to stop.
        """
        from weft.engine.weights.device_lane import give_way

        self.on_progress(step, steps, preview, measured)
        if self.cancelled():
            self.checkpoints.keep()
        self._raise_if_cancelled()
        give_way(self.look)

    def checkpoint(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Keep how far the call has come, in the store under its key, until it ends. Call it right before `progress`.

        A call of the same inputs that follows one which was stopped finds it by `checkpointed`, and has to give the
        same outputs as one that was not stopped.

        Args:
            state: makes it, of plain values, tensors, lists and dicts; called where the last one is old enough (the
                setting `checkpoint_every`), and by `progress` where the run was asked to stop.
        """
        self.checkpoints.reached(state)

    def checkpointed(self) -> Mapping[str, Any] | None:
        """The last `checkpoint` of a call of the same inputs that did not end; None where there is none."""
        return self.checkpoints.found()

    @overload
    def weights(self, recipe: Recipe[M], *, patches: Sequence[Patch[Any]] = ()) -> AbstractContextManager[M]: ...

    @overload
    def weights(
        self, recipe: Recipe[Any], kind: type[M], *, patches: Sequence[Patch[Any]] = ()
    ) -> AbstractContextManager[M]: ...

    def weights(
        self, recipe: Recipe[Any], kind: type[Any] = object, *, patches: Sequence[Patch[Any]] = ()
    ) -> AbstractContextManager[Any]:
        """The recipe's module on the device with its patches, and used by nobody else, while the block runs.

        A node of the `gpu` lane has the device to itself anyway; others wait here for their turn. Inside the block the
        same base may be asked for again with other patches: those are then in until the inner block ends.

        Args:
            kind: the class of the module, for recipes that are data alone and do not say what they are loaded as.
            patches: entered after those of the recipe.

        Raises:
            InputError: where the loader of the recipe gives something else, or where a patch does not fit.
        """
        return self._held(recipe, kind, patches)

    @contextmanager
    def _held(self, recipe: Recipe[Any], kind: type[Any], patches: Sequence[Patch[Any]]) -> Iterator[Any]:
        from weft.engine.weights.device_lane import lane_of
        from weft.engine.weights.device_memory import current_device

        self.on_weights(recipe)
        lane = self.lane or lane_of(self.device)
        with (
            lane.turn(self.look),
            current_device(self.device),
            self.residency.hold(recipe, self.device, patches, kind, self._streaming(recipe)) as module,
        ):
            yield module

    def _streaming(self, recipe: Recipe[Any]) -> Streaming:
        """Which parts of a network are sent to the device as it runs, whatever there is room for."""
        if not recipe.streams or self.device == "cpu" or self.residency.offload == "none":
            return "none"
        asked = [one for one in STREAMS if self.saves(one)]
        return asked[-1] if asked else LEAST.get(self.residency.offload, "none")

    def saves(self, saving: Saving) -> bool:
        """Whether the node is to save memory in this way, since it or one like it ran out. Its result is the same."""
        return self.savings.asks_for(saving)

    def look(self) -> None:
        """Raise `Cancelled` where a wait for the device is to end: the run was asked to stop, or no run is around."""
        self._raise_if_cancelled()
        if self.cancelled is never:
            raise_if_ending()

    def _raise_if_cancelled(self) -> None:
        if self.cancelled():
            raise Cancelled("the run was cancelled")

    def found(self, text: str) -> HashedResource:
        """The file or folder that a resource input names, with the digest of its content."""
        found = self.resources.get(text)
        if found is None:
            raise InputError(f"`{text}` is no resource input of this node", "give it as that input", "unknown-input")
        if not found.resolved.files:
            hint = "name its folder with --input DIR (a model's with --models DIR)"
            raise InputError(
                f"`{text}` is not here, and what is made from it is not in the store", hint, "missing-file"
            )
        return found

    def content(self, text: str) -> bytes:
        """The bytes of a plain file that a resource input names: those that the node's key has the digest of.

        Raises:
            ChangedFile: where the file has other content by now. The run answers it by planning again.
        """
        (content,) = self.contents(text).values()
        return content

    def contents(self, text: str) -> dict[Path, bytes]:
        """The bytes of each file of a resource input, in the order of its files, as `content` gives those of one."""
        found = self.found(text)
        contents: dict[Path, bytes] = {}
        for path in found.resolved.files:
            try:
                contents[path] = path.read_bytes()
            except OSError as fault:
                raise ChangedFile(str(path)) from fault
        if found.resolved.digest_of([digest_bytes(one) for one in contents.values()]) != found.digest:
            raise ChangedFile(str(found.resolved.root))
        return contents

    def located(self, digest: str) -> Resolved:
        """The files whose content has this digest, of any node of the graph: those that a recipe names.

        Raises:
            InputError: where no graph of this process has named them.
        """
        return self.residency.sources.locate(digest)


INJECTED = cast(Context, None)
"""The default of a node's `Context` parameter; the engine always gives a real one."""
