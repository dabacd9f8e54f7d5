"""Executes one plan: loads what is cached, calls nodes, keeps their results, delivers artifacts, emits events.

Steps run one at a time on the calling thread, in the order of `weft.engine.running.ready_queue`; nodes that read and
write files may run in threads of their own. A node of the `gpu` lane takes a turn on the device for its call alone
(`weft.engine.weights.device_lane`), since other runs use the same device and modules. All state lies in one `_Run` and
ends with it. One failing node stops only its consumers.

Locks, in the order in which they are taken: a key in progress, a claim of the store, a turn on the device. A run waits
for a key or a claim of somebody else while it holds none of the three, so no two runs wait for each other.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from weft.engine import events
from weft.engine.artifact import Artifact
from weft.engine.errors import (
    Cancelled,
    ChangedFile,
    InputError,
    NodeError,
)
from weft.engine.gc import settled_heap
from weft.engine.graph.graph import Link
from weft.engine.keys import Digest
from weft.engine.planning.planner import Plan, Step
from weft.engine.running.begun import Begun
from weft.engine.running.delivery import unwritable
from weft.engine.running.delivery_order import DeliveryOrder
from weft.engine.running.partial_result import PartialResult
from weft.engine.running.ready_queue import PAUSE, ReadyQueue
from weft.engine.running.run_devices import RunDevice
from weft.engine.running.run_environment import RunEnvironment
from weft.engine.running.step_call import StepCall, raise_unless_own
from weft.engine.spec.checkpoints import Checkpoints
from weft.engine.store import Computed, CorruptRecord, CostNote, Handle, Record, ResultNote
from weft.engine.store.claims import UNCLAIMED, Claim
from weft.engine.weights.recipes import Recipe
from weft.engine.weights.residency import recipes_in

WORTH_CLAIMING = 0.2
"""Expected seconds from which on a node is claimed, so that other processes wait for it rather than compute it too: ten
times their pause between two looks."""

NO_CHECKPOINTS = Checkpoints()
"""Those of calls that can keep none."""


def _report_nothing(event: Callable[..., events.Event], step: Step, **details: Any) -> None:
    """What a run reports where nobody listens."""


class _Run:
    def __init__(self, plan: Plan, environment: RunEnvironment, result: PartialResult) -> None:
        self.plan = plan
        self.environment = environment
        self.report = _report_nothing if environment.emit.unheard else environment.report
        self.result = result
        self.results: dict[str, Mapping[str, Handle | Computed]] = {}
        self.announced = {*result.ran, *result.cached}
        self.faulty = result.faulty
        self.uses: Counter[str] = Counter()
        self.steps_by_key: dict[Digest, Step] = {}
        self.finished_before: int | None = None
        self.taken: dict[str, RunDevice] = {}
        sinks = (step.call.id for step in plan.of("run", "cached", "undecided", "refused") if self._delivers(step))
        self.deliveries = DeliveryOrder(sinks)
        self.several_devices = environment.devices.several

    def go(self) -> PartialResult:
        """Run the plan; a damaged record is reported as an event before it is raised."""
        try:
            self._go()
        except CorruptRecord as damage:
            self.report(events.StoreDamaged, self.steps_by_key[damage.key], reason=damage.reason)
            raise
        return self.result

    def _go(self) -> None:
        steps = [step for step in self.plan.steps if step.state in ("run", "undecided", "refused")]
        taken = [link.node for step in steps for _, link in step.call.links]
        self.uses.update([*taken, *(link.node for link in self.plan.checked.outputs.values())])
        with ReadyQueue(steps, self._swaps if self.environment.resident else None, self._pause) as queue:
            try:
                self._serve_cached()
                self._work(queue)
            except Cancelled:
                self.result.status = "cancelled"
        self.deliveries.flush(self._deliver)
        if self.result.status == "done":
            self._collect()
        if self.result.failures and self.result.status == "done":
            self.result.status = "failed"

    def _serve_cached(self) -> None:
        for step in self.plan.of("cached"):
            self._raise_if_cancelled()
            assert step.record is not None and step.content is not None
            self._hand_over(step, self._found(step, step.content, step.record))
            self._settle(step, step.record)

    def _work(self, queue: ReadyQueue) -> None:
        """Run the steps, each when its inputs are there."""
        while queue.busy:
            self._raise_if_cancelled()
            while (file := queue.next_file()) is not None:
                self._start(file, queue)
            for step, record in queue.finished():
                self._settle(step, record)
                queue.settle(step)
            full = self.several_devices and self.environment.devices.full
            next_step = queue.next_without_device() if full else queue.next()
            if next_step is not None:
                self._start(next_step, queue)

    def _start(self, step: Step, queue: ReadyQueue) -> None:
        if self.plan.checked.refused:
            self._fail_refused(step)
        culprit = self._culprit(step) if self.faulty else None
        if culprit is not None:
            self._block(step, culprit)
        else:
            content = step.content or step.keys.content(self._digest)
            if queue.runs_in_thread(step):
                queue.start(step, partial(self._record, step, content))
                return
            if step.call.type.lane == "gpu" and self.several_devices:
                self._start_on_a_device(step, content, queue)
                return
            if not self._run_once(step, content):
                queue.defer(step)
                return
        queue.settle(step)

    def _start_on_a_device(self, step: Step, content: Digest, queue: ReadyQueue) -> None:
        """Start a step in a thread, where there is a device for it; else come back to it."""
        place = self.environment.devices.take(step, self._recipes(step))
        if place is None:
            queue.defer(step)
            return
        begun = self._begun(step, content)
        if begun is None:
            self.environment.devices.give_back(step)
            queue.defer(step)
            return
        self.taken[step.call.id] = place

        def work() -> Record | None:
            with begun as may_be_there:
                return self._record(step, content, may_be_there)

        queue.start_on_device(step, work, len(self.environment.devices.devices), begun.drop)

    def _recipes(self, step: Step) -> list[Recipe[Any]]:
        """All recipes that a step's inputs name."""
        given = (self._handle(link).load() for _, link in step.call.links)
        return [recipe for item in given for recipe in recipes_in(item)]

    def _run_once(self, step: Step, content: Digest) -> bool:
        """Run a step, unless another run or process computes it: then False, and nothing is held."""
        begun = self._begun(step, content)
        if begun is None:
            return False
        with begun as may_be_there:
            self._settle(step, self._record(step, content, may_be_there))
        return True

    def _begun(self, step: Step, content: Digest) -> Begun | None:
        """What a step holds while it runs; None where another run or process computes it."""
        shared = self.environment.in_progress
        if shared is None:
            return Begun()
        count = shared.count
        finished = shared.finished(content)
        if not shared.begin(content):
            if self.finished_before is None:
                self.finished_before = count
            return None
        try:
            claim = self._claim(step, content)
        except BaseException:
            shared.abandon(content)
            raise
        if claim is None:
            shared.abandon(content)
            return None
        return Begun(claim, finished or claim is not UNCLAIMED, partial(shared.end, content))

    def _pause(self) -> None:
        """Wait until another run of the engine has finished something, or for a moment."""
        before, self.finished_before = self.finished_before, None
        if before is not None and self.environment.in_progress is not None:
            self.environment.in_progress.wait(before, PAUSE)
        else:
            time.sleep(PAUSE)

    def _raise_if_cancelled(self) -> None:
        if self.environment.cancelled():
            raise Cancelled("the run was cancelled")

    def _fail_refused(self, step: Step) -> None:
        """A node that the check of the graph refused has failed, once in a run."""
        refusal = self.plan.checked.refused.get(step.call.id)
        if refusal and step.call.id not in self.faulty:
            self._failed(step, InputError("; ".join(one.message for one in refusal), refusal[0].hint, refusal[0].code))

    def _culprit(self, step: Step) -> str | None:
        """The failed node because of which a step cannot run; empty where that was reported already."""
        if step.call.id in self.faulty:
            return ""
        above = [*(link.node for _, link in step.call.links), *self.plan.waits.get(step.call.id, ())]
        return next((self.faulty[id] for id in above if id in self.faulty), None)

    def _block(self, step: Step, culprit: str) -> None:
        if culprit:
            self.faulty[step.call.id] = culprit
            self.report(events.NodeBlocked, step, by=culprit)
        self._hand_over(step, None)
        self._settle(step, None)

    def _claim(self, step: Step, content: Digest) -> Claim | None:
        """The claim of a step's result; None while another process computes it."""
        unknown = WORTH_CLAIMING if step.call.type.lane == "gpu" else 0.0
        if (unknown if step.expected is None else step.expected) < WORTH_CLAIMING:
            return UNCLAIMED
        return self.environment.store.claim(content, step.expected)

    def _record(self, step: Step, content: Digest, may_be_there: bool = False) -> Record | None:
        """The record of a step: out of the store where it is there by now, else by a call; None where that failed."""
        self.steps_by_key[content] = step
        look = (may_be_there or step.state == "undecided") and not step.damage
        known = self.environment.store.get(content) if look else None
        if known is not None:
            known.check(content, step.call.type.name, step.call.type.outputs)
        record = self._found(step, content, known) if known else self._called(step, content)
        self._hand_over(step, record)
        return record

    def _found(self, step: Step, content: Digest, record: Record) -> Record:
        self.steps_by_key[content] = step
        self._remember(step.recipe, ResultNote(content))
        if step.call.id not in self.announced:
            self.result.cached.append(step.call.id)
            self.report(events.NodeCached, step, tier=record.tier)
        return record

    def _digest(self, link: Link) -> Digest:
        return self._handle(link).digest

    def _handle(self, link: Link) -> Handle | Computed:
        outputs = self.results[link.node]
        return outputs[link.output or next(iter(outputs))]

    def _called(self, step: Step, content: Digest) -> Record | None:
        """Call a node and keep its outputs; None where it failed."""
        if step.damage:
            self.report(events.StoreDamaged, step, reason=step.damage)
        arrived = self._arrived(step)
        if arrived is None:
            return None
        checkpoints = self._checkpoints(step, content)
        warn, device = self.result.warnings.append, self._device_of(step)
        call = StepCall(step, arrived, device, self.environment, checkpoints, self._digest, warn)
        # No event but progress is emitted within the turn: a slow listener keeps the device from no other run.
        self.report(events.NodeStarted, step)
        outputs, seconds, peak, together = call.outcome()
        if isinstance(outputs, ChangedFile) and not self.environment.final:
            self.report(events.FileChanged, step, path=outputs.path)
            raise outputs
        if isinstance(outputs, BaseException):
            self._failed(step, outputs)
            return None
        self.result.ran.append(step.call.id)
        if peak > self.result.peak:
            self.result.peak = peak
        self.report(events.NodeFinished, step, seconds=round(seconds, 6), peak=peak)
        self._keep(step, content, outputs, seconds, together)
        checkpoints.drop()
        return Record(outputs, seconds)

    def _checkpoints(self, step: Step, content: Digest) -> Checkpoints:
        """Keeps how far a call has come, where its node asks for a context to do so by."""
        if not step.call.type.context_name:
            return NO_CHECKPOINTS
        return Checkpoints(self.environment.store, content, self.environment.checkpoint_every)

    def _arrived(self, step: Step) -> dict[Link, Any] | None:
        """The values behind a step's links; None where one cannot be loaded, which counts as a failure of the node."""
        try:
            return {link: self._handle(link).load() for _, link in step.call.links}
        except CorruptRecord:
            raise
        except BaseException as fault:
            raise_unless_own(fault, self.environment.cancelled)
            self._failed(step, fault)
            return None

    def _keep(
        self, step: Step, content: Digest, outputs: Mapping[str, Computed], seconds: float, together: int
    ) -> None:
        """Put outputs into the store, and notes that lead to them and say how long a call by itself took."""
        trace = {"type": step.call.type.name, "partial": step.partial, **self.environment.trace}
        if step.call.id in self.taken:
            trace["device"] = self.taken[step.call.id].device
        if together > 1:
            trace["together"] = together
        self.environment.store.put(content, outputs, seconds, trace)
        self._remember(step.recipe, ResultNote(content))
        if together > 1:
            return
        if step.partial:
            self._remember(step.partial, CostNote(round(seconds, 6)), again=False)
        if step.pace:
            step.pace.started().remember(self.environment.store, seconds)

    def _remember(self, key: Digest, note: ResultNote | CostNote, again: bool = True) -> None:
        known = self.environment.store.recall(key, type(note))
        if known is None or (again and known != note):
            self.environment.store.remember(key, note)

    def _device_of(self, step: Step) -> RunDevice:
        """The device of a step; the first where it has taken none."""
        return self.taken.get(step.call.id) or self.environment.devices.first

    def _failed(self, step: Step, fault: BaseException) -> None:
        error = NodeError(step.call.id, step.call.type.name, fault)
        error.__cause__ = fault
        self.result.failures.append(error)
        self.faulty[step.call.id] = step.call.id
        self.report(events.NodeFailed, step, error=str(error))

    def _settle(self, step: Step, record: Record | None) -> None:
        """Keep a step's outputs for its consumers, and free values whose last consumer this step was."""
        if self.taken and self.taken.pop(step.call.id, None) is not None:
            self.environment.devices.give_back(step)
        if record is not None and self.uses[step.call.id]:
            self.results[step.call.id] = record.outputs
        if step.state != "cached":
            for _, link in step.call.links:
                self.uses[link.node] -= 1
                if not self.uses[link.node]:
                    self.results.pop(link.node, None)

    def _hand_over(self, step: Step, record: Record | None) -> None:
        """Deliver the result of a sink, None where it failed."""
        if self._delivers(step):
            self.deliveries.give(step, record, self._deliver)

    def _delivers(self, step: Step) -> bool:
        return step.call.type.sink and step.call.id in self.plan.checked.wanted

    def _deliver(self, step: Step, record: Record) -> None:
        items = [*_artifacts(handle.load() for handle in record.outputs.values())]
        for number, item in enumerate(items):
            try:
                delivered = self.environment.deliver(item, step, number if len(items) > 1 else None)
            except OSError as fault:
                self._failed(step, unwritable(fault))
                return
            except InputError as fault:
                self._failed(step, fault)
                return
            self.result.paths.append(delivered.path)
            if delivered.verdict:
                self.result.verdicts[delivered.path] = delivered.verdict
            given = {"path": delivered.path, "media_type": item.media_type, "new": delivered.new}
            self.report(events.ArtifactWritten, step, **given, verdict=delivered.verdict)

    def _swaps(self, step: Step) -> bool:
        """Whether a step needs weights that are not on the device."""
        assert self.environment.resident is not None
        if self._culprit(step) is not None:
            return False
        return not self.environment.resident(self._handle(link).load() for _, link in step.call.links)

    def _collect(self) -> None:
        for name, link in self.plan.checked.outputs.items():
            if link.node in self.results:
                self.result.outputs[name] = self._handle(link).load()


def _artifacts(outputs: Iterable[Any]) -> Iterable[Artifact]:
    for item in outputs:
        if isinstance(item, Artifact):
            yield item
        elif isinstance(item, (list, tuple)):
            yield from (one for one in item if isinstance(one, Artifact))


def run(plan: Plan, environment: RunEnvironment, before: PartialResult | None = None) -> PartialResult:
    """Execute a plan.

    Args:
        before: the result of an earlier part of the same run, whose events are not emitted again.

    Raises:
        CorruptRecord: where a cached result cannot be used after all; the caller drops it and plans again.
        ChangedFile: where a file was changed while a node read it; the caller checks and plans again.
    """
    with settled_heap():
        return _Run(plan, environment, before.continued() if before else PartialResult()).go()
