"""Execute a plan: get what is cached, call what is to run, put what it gave, and say all along what happens.

Steps run one after another on the calling thread, those first that what ran last was for;
`weft.engine.running.ready_queue` says which, and holds the threads that read and write files beside it. State lives in
one `_Run` and ends with it. One failing node stops only what takes from it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from weft.engine import events
from weft.engine.artifact import Artifact
from weft.engine.errors import Cancelled, InputError, NodeError
from weft.engine.gc import settled_heap
from weft.engine.graph.graph import Link
from weft.engine.keys import Digest, cost_key
from weft.engine.planning.planner import Plan, Step, content_key_of, noted_seconds
from weft.engine.running.ready_queue import Lanes
from weft.engine.spec.call import Call, Gather
from weft.engine.spec.context import Context
from weft.engine.store import Damaged, Handle, Made, Record, Store
from weft.engine.store.claims import UNCLAIMED, Claim
from weft.engine.store.codec import content_digest, laid_out
from weft.engine.types import LiteralError, Type

WORTH_SAYING = 0.01
"""Seconds below which a node's time is not remembered for its type."""

WORTH_CLAIMING = 0.2
"""Seconds from which on a node is claimed, so that other processes wait for it rather than compute it too: ten times
what they wait before they look again."""

WORTH_A_THREAD = 0.002
"""Seconds from which on a node of the I/O lane runs beside the others."""

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
        listener: hears every event, one at a time.
        cancelled: asked before each node and in each step.
        trace: what is recorded beside each result.
        at_hand: whether the weights that values name are on the device; None where they all stay there anyway.
        guarded: whether every node is caught that changes a value on a link.
    """

    store: Store
    context: Callable[..., Context]
    deliver: Deliver
    listener: events.Listener = events.ignore
    cancelled: Callable[[], bool] = lambda: False
    trace: Callable[[], Mapping[str, Any]] = dict
    at_hand: Callable[[Iterable[Any]], bool] | None = None
    guarded: bool = False


@dataclass
class Outcome:
    """What a run came to; `faulty` has what failed or was blocked, with what it failed for."""

    outputs: dict[str, Any] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    failures: list[NodeError] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    faulty: dict[str, str] = field(default_factory=dict)
    status: str = "done"

    def continued(self) -> Outcome:
        """A copy for a later part of the same run to add to; outputs are each part's own."""
        return Outcome({}, [*self.paths], [*self.failures], [*self.ran], [*self.cached], {**self.faulty})


class _Run:
    def __init__(self, plan: Plan, around: Surroundings, outcome: Outcome) -> None:
        self.plan = plan
        self.around = around
        self.outcome = outcome
        self.results: dict[str, Mapping[str, Handle | Made]] = {}
        self.told = {*outcome.ran, *outcome.cached}
        self.faulty = outcome.faulty
        self.uses: Counter[str] = Counter(link.node for link in plan.checked.outputs.values())
        self.telling = threading.Lock()
        self.asked: dict[Digest, Step] = {}
        sinks = (step.call.id for step in plan.of("run", "cached", "undecided") if self._delivers(step))
        self.deliveries = _InOrder([*sinks])

    def go(self) -> Outcome:
        """Run the plan; damage is told before it is raised."""
        try:
            self._go()
        except Damaged as damage:
            self._tell(events.StoreDamaged, self.asked[damage.key], reason=damage.reason)
            raise
        return self.outcome

    def _go(self) -> None:
        steps = [step for step in self.plan.steps if step.state in ("run", "undecided")]
        for step in steps:
            self.uses.update(link.node for _, link in step.call.links)
        with Lanes(steps, self._swaps if self.around.at_hand else None) as lanes:
            try:
                self._serve_cached()
                self._work(lanes)
            except Cancelled:
                self.outcome.status = "cancelled"
        self.deliveries.flush(self._deliver)
        if self.outcome.status == "done":
            self._collect()
        if self.outcome.failures and self.outcome.status == "done":
            self.outcome.status = "failed"

    def _serve_cached(self) -> None:
        for step in self.plan.of("cached"):
            self._look_whether_cancelled()
            assert step.record is not None and step.content is not None
            self._hand_over(step, self._found(step, step.content, step.record))
            self._settle(step, step.record)

    def _work(self, lanes: Lanes) -> None:
        """Run the steps, each when what it takes from is there."""
        while lanes.busy:
            self._look_whether_cancelled()
            for step, record in lanes.finished():
                self._settle(step, record)
                lanes.settle(step)
            next_step = lanes.next()
            if next_step is not None:
                self._start(next_step, lanes)

    def _start(self, step: Step, lanes: Lanes) -> None:
        culprit = self._culprit(step)
        if culprit is not None:
            self._block(step, culprit)
        else:
            content = step.content or content_key_of(step.call, step.found, self.plan.settings, self._digest)
            if step.call.type.lane == "io" and lanes.busy and (step.expected or 1.0) >= WORTH_A_THREAD:
                lanes.start(step, partial(self._record, step, content))
                return
            claim = self._claim(step, content)
            if claim is None:
                lanes.put_off(step)
                return
            with claim:
                record = self._record(step, content, claim is not UNCLAIMED)
            self._settle(step, record)
        lanes.settle(step)

    def _look_whether_cancelled(self) -> None:
        if self.around.cancelled():
            raise Cancelled("the run was cancelled")

    def _culprit(self, step: Step) -> str | None:
        """The failed node for which a step cannot be; empty where that was told already."""
        if step.call.id in self.faulty:
            return ""
        above = [*(link.node for _, link in step.call.links), *self.plan.waits.get(step.call.id, ())]
        return next((self.faulty[id] for id in above if id in self.faulty), None)

    def _block(self, step: Step, culprit: str) -> None:
        if culprit:
            self.faulty[step.call.id] = culprit
            self._tell(events.NodeBlocked, step, by=culprit)
        self._hand_over(step, None)
        self._settle(step, None)

    def _claim(self, step: Step, content: Digest) -> Claim | None:
        """Leave to compute a step; None while another process computes it."""
        unknown = WORTH_CLAIMING if step.call.type.lane == "gpu" else 0.0
        if (unknown if step.expected is None else step.expected) < WORTH_CLAIMING:
            return UNCLAIMED
        return self.around.store.claim(content, step.expected)

    def _record(self, step: Step, content: Digest, claimed: bool = False) -> Record | None:
        """What a step comes to: out of the store where it is there by now, else by a call; None where that failed."""
        self.asked[content] = step
        may_be_there = claimed or step.state == "undecided"
        known = self.around.store.get(content) if may_be_there and not step.damage else None
        record = self._found(step, content, known) if known else self._called(step, content)
        self._hand_over(step, record)
        return record

    def _found(self, step: Step, content: Digest, record: Record) -> Record:
        self.asked[content] = step
        self._remember(step.recipe, content)
        if step.call.id not in self.told:
            self.outcome.cached.append(step.call.id)
            self._tell(events.NodeCached, step, tier=record.tier)
        return record

    def _digest(self, link: Link) -> Digest:
        return self._handle(link).digest

    def _handle(self, link: Link) -> Handle | Made:
        outputs = self.results[link.node]
        return outputs[link.output or next(iter(outputs))]

    def _called(self, step: Step, content: Digest) -> Record | None:
        """Call a node and keep what it gives; None where it failed."""
        if step.damage:
            self._tell(events.StoreDamaged, step, reason=step.damage)
        self._tell(events.NodeStarted, step)
        started = time.perf_counter()
        try:
            given = {name: laid_out(item) for name, item in self._outputs(step).items()}
            outputs = {name: Made(item, content_digest(item)) for name, item in given.items()}
        except (Cancelled, Damaged):
            raise
        except Exception as fault:
            self._failed(step, fault)
            return None
        seconds = time.perf_counter() - started
        self.around.store.put(
            content, outputs, seconds, {"type": step.call.type.name, "partial": step.partial, **self.around.trace()}
        )
        self._remember(step.recipe, content)
        if step.partial:
            self._remember(step.partial, repr(round(seconds, 6)), again=False)
        if seconds >= WORTH_SAYING:
            self._remember_pace(cost_key(step.call.type.identity), seconds)
        self.outcome.ran.append(step.call.id)
        self._tell(events.NodeFinished, step, seconds=round(seconds, 6))
        return Record(outputs, seconds)

    def _remember(self, key: Digest, note: str, again: bool = True) -> None:
        known = self.around.store.recall(key)
        if known is None or (again and known != note):
            self.around.store.remember(key, note)

    def _remember_pace(self, key: Digest, seconds: float) -> None:
        """Keep how long a type of node takes, unless it is known to within a tenth."""
        known = noted_seconds(self.around.store.recall(key))
        if known is None or not math.isclose(known, seconds, rel_tol=0.1):
            self.around.store.remember(key, repr(round(seconds, 6)))

    def _outputs(self, step: Step) -> dict[str, Any]:
        """Call a node on the values that arrive at it."""
        arrived = {link: self._handle(link).load() for _, link in step.call.links}
        outputs = called(step.call, arrived, partial(self._context, step))
        if self.around.guarded:
            self._look_whether_changed(step.call, arrived)
        return outputs

    def _context(self, step: Step) -> Context:
        progress = partial(self._progress, step)
        return self.around.context(resources=step.found, on_progress=progress, cancelled=self.around.cancelled)

    def _look_whether_changed(self, call: Call, arrived: Mapping[Link, Any]) -> None:
        for name, link in call.links:
            if content_digest(arrived[link]) != self._digest(link):
                raise InputError(
                    f"{call.type.name} changes its input `{name}`, which came from `{link}`",
                    "a value on a link is never changed: work on a copy",
                )

    def _progress(self, step: Step, done: int, steps: int, preview: events.Preview | None) -> None:
        shown = events.painted(self.around.listener, step.call.id, preview)
        with self.telling:
            self.around.listener(events.NodeProgress(step.call.id, step.call.type.name, done, steps, shown))

    def _failed(self, step: Step, fault: Exception) -> None:
        error = NodeError(step.call.id, step.call.type.name, fault)
        error.__cause__ = fault
        self.outcome.failures.append(error)
        self.faulty[step.call.id] = step.call.id
        self._tell(events.NodeFailed, step, error=str(error))

    def _settle(self, step: Step, record: Record | None) -> None:
        """Keep what a step came to for those that take it, and let go of what nothing takes any more."""
        if record is not None and self.uses[step.call.id]:
            self.results[step.call.id] = record.outputs
        if step.state != "cached":
            for _, link in step.call.links:
                self.uses[link.node] -= 1
                if not self.uses[link.node]:
                    self.results.pop(link.node, None)

    def _hand_over(self, step: Step, record: Record | None) -> None:
        """Deliver what a sink came to."""
        if self._delivers(step):
            self.deliveries.give(step.call.id, (step, record) if record else None, self._deliver)

    def _delivers(self, step: Step) -> bool:
        return step.call.type.sink and step.call.id in self.plan.checked.wanted

    def _deliver(self, delivery: tuple[Step, Record]) -> None:
        step, record = delivery
        for item in _artifacts(handle.load() for handle in record.outputs.values()):
            try:
                delivered = self.around.deliver(item, step)
            except OSError as fault:
                message = f"cannot write {fault.filename or 'the output folder'}: {fault.strerror or fault}"
                error = InputError(message, "make room, or choose another folder with --out DIR")
                error.__cause__ = fault
                self._failed(step, error)
                return
            except InputError as fault:
                self._failed(step, fault)
                return
            self.outcome.paths.append(delivered.path)
            media = item.media_type
            self._tell(events.ArtifactWritten, step, path=delivered.path, media_type=media, new=delivered.new)

    def _swaps(self, step: Step) -> bool:
        """Whether a step needs weights that are not on the device."""
        assert self.around.at_hand is not None
        if self._culprit(step) is not None:
            return False
        return not self.around.at_hand(self._handle(link).load() for _, link in step.call.links)

    def _collect(self) -> None:
        for name, link in self.plan.checked.outputs.items():
            if link.node in self.results:
                self.outcome.outputs[name] = self._handle(link).load()

    def _tell(self, event: Callable[..., events.Event], step: Step, **details: Any) -> None:
        with self.telling:
            self.around.listener(event(node=step.call.id, type=step.call.type.name, **details))


_Delivery = Callable[[tuple[Step, Record]], None]


class _InOrder:
    """Deliveries, made in the order of the plan whatever order they come in, so that files are numbered alike.

    Args:
        ids: the nodes that deliver, in order.
    """

    def __init__(self, ids: list[str]) -> None:
        self._ids = ids[::-1]
        self._given: dict[str, tuple[Step, Record] | None] = {}
        self._lock = threading.Lock()

    def give(self, id: str, delivery: tuple[Step, Record] | None, deliver: _Delivery) -> None:
        """Take what a node has to deliver, None where it came to nothing, and make all deliveries that are next."""
        with self._lock:
            self._given[id] = delivery
            while self._ids and self._ids[-1] in self._given:
                self._make(self._ids.pop(), deliver)

    def flush(self, deliver: _Delivery) -> None:
        """Make those that wait for nodes which will not run any more."""
        while self._ids:
            self._make(self._ids.pop(), deliver)

    def _make(self, id: str, deliver: _Delivery) -> None:
        delivery = self._given.pop(id, None)
        if delivery is not None:
            deliver(delivery)


def called(call: Call, arrived: Mapping[Link, Any], context: Callable[[], Context]) -> dict[str, Any]:
    """What a call gives, by output.

    Args:
        arrived: the value behind each of its links.
        context: makes its context, where it asks for one.

    Raises:
        InputError: where a value does not fit its input.
        TypeError: where an output is not of its type.
    """
    outputs = call.type.call(_values(call, arrived), context() if call.type.context_name else None)
    for name, item in outputs.items():
        wanted = call.type.outputs[name].type
        if not wanted.admits(item):
            raise TypeError(f"output `{name}` is a {type(item).__name__}, its annotation says {wanted}")
    return outputs


def _values(call: Call, arrived: Mapping[Link, Any]) -> dict[str, Any]:
    """What a call's inputs are, linked values in their places."""
    values = dict(call.inputs)
    for name, given in call.inputs.items():
        if isinstance(given, Link):
            values[name] = _arrived(call.type.inputs[name].type, arrived[given], name)
        elif isinstance(given, Gather):
            gathered = [arrived[item] if isinstance(item, Link) else item for item in given.items]
            values[name] = _arrived(call.type.inputs[name].type, gathered, name)
    return values


def _arrived(wanted: Type, item: Any, name: str) -> Any:
    """A linked value in the declared type: an int becomes a float where one is wanted, bounds and choices hold."""
    if any(wanted.sockets()):
        return item
    try:
        return wanted.literal(item)
    except LiteralError as fault:
        raise InputError(f"input `{name}`: {fault}, which came over a link", fault.hint) from None


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
