"""Execute a plan: get what is cached, call what is to run, put what it gave, and say all along what happens.

State lives in one `_Run` and ends with it. One failing node stops only what takes from it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from weft.engine import events
from weft.engine.artifact import Artifact
from weft.engine.call import Call, Gather
from weft.engine.collection import settled_heap
from weft.engine.context import Context
from weft.engine.errors import Cancelled, InputError, NodeError
from weft.engine.graph import Link
from weft.engine.keys import Digest, cost_key
from weft.engine.plan import Plan, Step, content_key_of
from weft.engine.store import Damaged, Handle, Made, Record, Store
from weft.engine.store.codec import content_digest
from weft.engine.types import LiteralError, Type

WORTH_SAYING = 0.01
"""Seconds below which a node's time is not remembered for its type."""

Deliver = Callable[[Artifact, Step], "Delivered"]


@dataclass(frozen=True)
class Delivered:
    """Where an artifact went, and whether anything had to be written."""

    path: str
    new: bool


@dataclass(frozen=True)
class Surroundings:
    """What a run needs beside its plan.

    Args:
        store: where results are kept.
        context: makes a node's context from its progress callback and files.
        deliver: takes one artifact of a sink.
        listener: hears every event.
        cancelled: asked before each node and in each step.
        trace: what is recorded beside each result.
    """

    store: Store
    context: Callable[..., Context]
    deliver: Deliver
    listener: events.Listener = events.ignore
    cancelled: Callable[[], bool] = lambda: False
    trace: Callable[[], Mapping[str, Any]] = dict


@dataclass
class Outcome:
    """What a run came to."""

    outputs: dict[str, Any] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    failures: list[NodeError] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    status: str = "done"

    def continued(self) -> Outcome:
        """A copy for a later part of the same run to add to; outputs are each part's own."""
        return Outcome({}, [*self.paths], [*self.failures], [*self.ran], [*self.cached])


@dataclass
class _Run:
    plan: Plan
    around: Surroundings
    outcome: Outcome = field(default_factory=Outcome)
    results: dict[str, Mapping[str, Handle]] = field(default_factory=dict)
    faulty: dict[str, str] = field(default_factory=dict)
    waiting: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.told = {*self.outcome.ran, *self.outcome.cached}
        self.faulty |= {failure.node: failure.node for failure in self.outcome.failures}

    def go(self) -> Outcome:
        self._count_takers()
        for step in self.plan.of("run", "cached", "undecided"):
            if self.around.cancelled():
                self.outcome.status = "cancelled"
                break
            try:
                self._step(step)
            except Cancelled:
                self.outcome.status = "cancelled"
                break
        if self.outcome.status == "done":
            self._collect()
        if self.outcome.failures and self.outcome.status == "done":
            self.outcome.status = "failed"
        return self.outcome

    def _count_takers(self) -> None:
        for step in self.plan.of("run", "undecided"):
            self.waiting.update(link.node for _, link in step.call.links())
        self.waiting.update(link.node for link in self.plan.checked.outputs.values())

    def _step(self, step: Step) -> None:
        if step.call.id in self.faulty:
            return
        culprit = next((self.faulty[id] for id in self._above(step) if id in self.faulty), None)
        if culprit and step.state != "cached":
            self.faulty[step.call.id] = culprit
            self._tell(events.NodeBlocked, step, by=culprit)
            return
        record = self._record(step)
        if record is not None:
            self.results[step.call.id] = record.outputs
            if step.call.type.sink and step.call.id in self.plan.checked.wanted:
                self._deliver(step, record)
        if step.state != "cached":
            self._release(step.call)

    def _above(self, step: Step) -> Iterable[str]:
        """The nodes without which a step cannot be: those it takes from, and those that decide what it takes."""
        yield from (link.node for _, link in step.call.links())
        if self.plan.checked.pending:
            yield from step.after

    def _record(self, step: Step) -> Record | None:
        """What a step comes to: out of the store where it is there, else by a call; None where that failed."""
        if step.state == "cached":
            assert step.record is not None and step.content is not None
            return self._found(step, step.content, step.record)
        content = step.content or content_key_of(step.call, step.found, self.plan.settings, self._digest)
        known = self.around.store.get(content) if step.state == "undecided" else None
        return self._found(step, content, known) if known else self._called(step, content)

    def _found(self, step: Step, content: Digest, record: Record) -> Record:
        self._remember(step.recipe, content)
        if step.call.id not in self.told:
            self.outcome.cached.append(step.call.id)
            self._tell(events.NodeCached, step, tier=record.tier)
        return record

    def _digest(self, link: Link) -> Digest:
        outputs = self.results[link.node]
        return outputs[link.output or next(iter(outputs))].digest

    def _called(self, step: Step, content: Digest) -> Record | None:
        """Call a node; None where it failed."""
        if step.damage:
            self._tell(events.StoreDamaged, step, reason=step.damage)
        self._tell(events.NodeStarted, step)
        started = time.perf_counter()
        try:
            outputs = {name: Made(item, content_digest(item)) for name, item in self._outputs(step).items()}
        except (Cancelled, Damaged):
            raise
        except Exception as fault:
            self._failed(step, fault)
            return None
        seconds = time.perf_counter() - started
        self.around.store.put(content, outputs, seconds, {"type": step.call.type.name, **self.around.trace()})
        self._remember(step.recipe, content)
        if step.partial:
            self._remember(step.partial, repr(round(seconds, 6)), again=False)
        if seconds >= WORTH_SAYING:
            self._remember(cost_key(step.call.type.identity), repr(round(seconds, 6)))
        self.outcome.ran.append(step.call.id)
        self._tell(events.NodeFinished, step, seconds=round(seconds, 6))
        return Record(
            {name: Handle(made.digest, partial(_same, made.value)) for name, made in outputs.items()}, seconds
        )

    def _remember(self, key: Digest, note: str, again: bool = True) -> None:
        known = self.around.store.recall(key)
        if known is None or (again and known != note):
            self.around.store.remember(key, note)

    def _outputs(self, step: Step) -> dict[str, Any]:
        call = step.call
        values = {name: self._value(call, name, given) for name, given in call.inputs.items()}
        progress = partial(self._progress, step)
        context = self.around.context(resources=step.found, on_progress=progress, cancelled=self.around.cancelled)
        outputs = call.type.call(values, context)
        for name, item in outputs.items():
            if not call.type.outputs[name].type.admits(item):
                wanted = call.type.outputs[name].type
                raise TypeError(f"output `{name}` is a {type(item).__name__}, its annotation says {wanted}")
        return outputs

    def _value(self, call: Call, name: str, given: Any) -> Any:
        wanted = call.type.inputs[name].type
        if isinstance(given, Link):
            return _arrived(wanted, self._load(given), name)
        if isinstance(given, Gather):
            gathered = [self._load(item) if isinstance(item, Link) else item for item in given.items]
            return _arrived(wanted, gathered, name)
        return given

    def _load(self, link: Link) -> Any:
        outputs = self.results[link.node]
        return outputs[link.output or next(iter(outputs))].load()

    def _progress(self, step: Step, done: int, steps: int) -> None:
        self.around.listener(events.NodeProgress(step.call.id, step.call.type.name, done, steps))

    def _failed(self, step: Step, fault: Exception) -> None:
        error = NodeError(step.call.id, step.call.type.name, fault)
        error.__cause__ = fault
        self.outcome.failures.append(error)
        self.faulty[step.call.id] = step.call.id
        self._tell(events.NodeFailed, step, error=str(error))

    def _deliver(self, step: Step, record: Record) -> None:
        for item in _artifacts(handle.load() for handle in record.outputs.values()):
            try:
                delivered = self.around.deliver(item, step)
            except OSError as fault:
                message = f"cannot write {fault.filename or 'the output folder'}: {fault.strerror or fault}"
                self._failed(step, InputError(message, "make room, or choose another folder with --out DIR"))
                return
            except InputError as fault:
                self._failed(step, fault)
                return
            self.outcome.paths.append(delivered.path)
            media = item.media_type
            self._tell(events.ArtifactWritten, step, path=delivered.path, media_type=media, new=delivered.new)

    def _release(self, call: Call) -> None:
        """Let go of values that nothing else in this run takes."""
        for _, link in call.links():
            self.waiting[link.node] -= 1
            if not self.waiting[link.node]:
                self.results.pop(link.node, None)

    def _collect(self) -> None:
        for name, link in self.plan.checked.outputs.items():
            if link.node in self.results:
                self.outcome.outputs[name] = self._load(link)

    def _tell(self, event: Callable[..., events.Event], step: Step, **details: Any) -> None:
        self.around.listener(event(node=step.call.id, type=step.call.type.name, **details))


def _same(item: Any) -> Any:
    return item


def _arrived(wanted: Type, item: Any, name: str) -> Any:
    """A linked value in the declared type: an int becomes a float where one is wanted, bounds and choices hold."""
    if any(wanted.sockets()):
        return item
    try:
        return wanted.literal(item)
    except LiteralError as fault:
        raise InputError(f"input `{name}`: {fault}, which came over a link", fault.mend) from None


def _artifacts(outputs: Iterable[Any]) -> Iterable[Artifact]:
    for item in outputs:
        if isinstance(item, Artifact):
            yield item
        elif isinstance(item, (list, tuple)):
            yield from (one for one in item if isinstance(one, Artifact))


def run(plan: Plan, around: Surroundings, before: Outcome | None = None) -> Outcome:
    """Execute a plan.

    Args:
        before: what an earlier part of the same run came to; what it told is not told again.

    Raises:
        Damaged: where a cached result cannot be used after all; the caller drops it and plans again.
        StoreError: where a result cannot be kept; what was kept before is whole.
    """
    with settled_heap():
        return _Run(plan, around, before.continued() if before else Outcome()).go()
