"""Calls of several runs that are made together, in one batch, where they wait for a device anyway.

Only calls of node types whose library makes several at once are (`weft.engine.spec.batched`), as the batches of a job
are. A call that finds its device in use waits in a list; the first of a list that gets the device makes those that are
like it too, and each run goes on with its own result, under the key that it has alone. A call that finds its device
free is made at once. So nobody waits longer than for one call of each other run, as without batches.

A run that is cancelled leaves its place and stops nobody. A batch has no more items than the device has memory for,
where it is known what a call needs. Where a batch fails, its calls are made one by one; where it runs out of memory,
in smaller ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from weft.engine.events import BatchPreview, Preview
from weft.engine.graph.graph import Link
from weft.engine.keys import Digest
from weft.engine.notices import Notice
from weft.engine.planning.call_keys import call_keys
from weft.engine.planning.planner import Step
from weft.engine.running.outcome import Outcome, Outputs
from weft.engine.spec.batched import batched_type
from weft.engine.spec.node import NodeType
from weft.engine.weights.relief import Relief

REMEMBERED = 256
"""How many kinds of calls are remembered whose batches ran out of memory."""


class MadeByAnother(Exception):  # noqa: N818
    """The wait for the device is over: another run has made the call."""


class Hears(NamedTuple):
    """What hears of a call while it is made.

    Args:
        cancelled: whether the run that it belongs to is to stop.
    """

    progress: Callable[[int, int, Preview | None, Mapping[str, float]], None]
    notice: Callable[[Notice], None]
    relief: Callable[[Relief], None]
    cancelled: Callable[[], bool]


@dataclass(eq=False)
class JointCall:
    """A call that waits for a device, and may be made with others.

    Args:
        type: makes several of them at once.
        place: equal for calls that can share a batch.
        values: of its inputs.
        hears: what hears of it.
        finished: takes what it gave; its outputs, or what is wrong with them.
        most: how many items of a batch like it go into the device's memory; None where that is not known.
        by_itself: whether it is to be made by itself, since a batch with it failed.
        left: whether its run waits for it no longer.
        outcome: how it ended, once another run has made it.
    """

    type: NodeType
    place: Hashable
    values: Mapping[str, Any]
    hears: Hears
    finished: Callable[[Any], Outputs]
    most: int | None = None
    by_itself: bool = False
    left: bool = False
    outcome: Outcome | None = None

    @property
    def items(self) -> int:
        """How many items of a batch it is."""
        return self.type.batch.items(self.values) if self.type.batch else 1

    @property
    def unwanted(self) -> bool:
        """Whether nobody wants its result any more."""
        return self.left or self.hears.cancelled()

    def raise_if_made(self) -> None:
        """Raise `MadeByAnother` where it is."""
        if self.outcome is not None:
            raise MadeByAnother


@dataclass(frozen=True)
class CallBatch:
    """Calls that are made together, the first by the run that makes them."""

    calls: Sequence[JointCall]

    @property
    def items(self) -> int:
        """How many items they are in all."""
        return sum(call.items for call in self.calls)

    @property
    def values(self) -> dict[str, Any]:
        """The values that the node type takes which makes them."""
        first = self.calls[0]
        names = first.type.batch.inputs if first.type.batch else ()
        return {**first.values, **{name: [call.values[name] for call in self.calls] for name in names}}

    def unwanted(self) -> bool:
        """Whether nobody wants any result."""
        return all(call.unwanted for call in self.calls)

    def progress(self, done: int, steps: int, preview: Preview | None, measured: Mapping[str, float]) -> None:
        """Report a step to each run, with a preview of its own picture."""
        first = 0
        for call in self.calls:
            if not call.left:
                call.hears.progress(done, steps, _preview_of(preview, first), measured)
            first += call.items

    def notice(self, notice: Notice) -> None:
        """Pass a notice to each run."""
        for call in self.calls:
            call.hears.notice(notice)

    def relief(self, relief: Relief) -> None:
        """Report to each run what was done for memory."""
        for call in self.calls:
            call.hears.relief(relief)

    def end(self, outputs: Sequence[Outputs], seconds: float, peak: int) -> None:
        """Give each call what it gave, and its share of the time."""
        items = self.items
        for call, own in zip(self.calls, outputs, strict=True):
            call.outcome = Outcome(own, seconds * call.items / items, peak, len(self.calls))

    def dissolve(self) -> None:
        """Have each call made by itself."""
        for call in self.calls:
            call.by_itself = True


class JointCalls:
    """The calls of an engine's runs that wait for a device.

    Args:
        catalog: has the node types that make several calls at once.
        most: how many items a batch has at most.
    """

    def __init__(self, catalog: Mapping[str, NodeType], most: int) -> None:
        self._catalog = catalog
        self._most = most
        self._waiting: dict[Hashable, list[JointCall]] = {}
        self._fitting: dict[Hashable, int] = {}
        self._lock = threading.Lock()

    def batched(self, type: NodeType) -> NodeType | None:
        """The node type that makes several calls of another at once, where there is one and batches are wanted."""
        return batched_type(type, self._catalog) if self._most > 1 else None

    @contextmanager
    def waiting(self, call: JointCall) -> Iterator[None]:
        """While the block runs, whoever gets the device may make the call."""
        with self._lock:
            self._waiting.setdefault(call.place, []).append(call)
        try:
            yield
        finally:
            with self._lock:
                call.left = True
                self._waiting[call.place].remove(call)
                if not self._waiting[call.place]:
                    del self._waiting[call.place]

    def batch(self, first: JointCall) -> CallBatch:
        """A call with those that are to be made with it, in the order in which they came."""
        fitting = self._fitting.get(first.place, self._most)
        calls, left = [first], (fitting if first.most is None else min(fitting, first.most)) - first.items
        with self._lock:
            others = [call for call in self._waiting.get(first.place, ()) if call is not first]
        for call in others if not first.by_itself else ():
            if not (call.by_itself or call.outcome or call.unwanted) and call.items <= left:
                calls.append(call)
                left -= call.items
        return CallBatch(calls)

    def too_large(self, batch: CallBatch) -> None:
        """Have batches like this one be of half its items at most: it ran out of memory."""
        with self._lock:
            if len(self._fitting) >= REMEMBERED:
                del self._fitting[next(iter(self._fitting))]
            self._fitting[batch.calls[0].place] = batch.items // 2


def place_of(
    step: Step, type: NodeType, values: Mapping[str, Any], device: str, digest: Callable[[Link], Digest]
) -> Hashable:
    """What calls have in common that can share a batch; None for one that goes by itself.

    Args:
        type: makes several of them at once.
        values: of the call's inputs.
        digest: of the value behind a link.
    """
    assert type.batch is not None
    try:
        alike = type.batch.alike(values)
        hash(alike)
    except Exception:  # the call fails by what is wrong with its values, or goes by itself
        return None
    if alike is None:
        return None
    common = {name: given for name, given in step.call.inputs.items() if name not in type.batch.inputs}
    settings = dict.fromkeys(step.call.type.settings, "")  # those of the engine, for all of its runs
    keys = call_keys(replace(step.call, inputs=common), step.found, settings)
    return device, keys.content(digest), alike


def _preview_of(preview: Preview | None, item: int) -> Preview | None:
    """The preview of an item; None where only the first has one."""
    if isinstance(preview, BatchPreview):
        whole = preview
        return lambda: whole.of(item)
    return preview if item == 0 else None
