"""One call of a node: its turn on the device, its time limit, and what is done where memory runs out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

from weft.engine import events
from weft.engine.errors import Cancelled, ChangedFile, InputError, Problem, TimeLimitError
from weft.engine.graph.graph import Link
from weft.engine.interrupts import is_interrupt
from weft.engine.keys import Digest
from weft.engine.notices import Notice, receiving
from weft.engine.out_of_memory import clear_frames, is_out_of_memory, missing_memory
from weft.engine.planning.planner import Step
from weft.engine.running.call_memory import CallMemory
from weft.engine.running.joint_calls import CallBatch, Hears, JointCall, MadeByAnother, place_of
from weft.engine.running.node_call import called, declared_outputs, given_values
from weft.engine.running.outcome import Outcome, Outputs
from weft.engine.running.run_devices import RunDevice
from weft.engine.running.run_environment import RunEnvironment
from weft.engine.running.time_limit import LimitedCall
from weft.engine.spec.at_once import cancelled_by
from weft.engine.spec.checkpoints import Checkpoints
from weft.engine.spec.context import Context
from weft.engine.store import Computed
from weft.engine.store.codec import content_digest, laid_out
from weft.engine.weights.device_lane import DeviceLane
from weft.engine.weights.openmp_team import dismiss_team
from weft.engine.weights.recipes import Recipe
from weft.engine.weights.relief import Relief, reliefs_to
from weft.engine.weights.savings import Savings

NO_SAVINGS = Savings()
"""Those of calls that can save nothing: they have no context to look it up in."""


class StepCall(NamedTuple):
    """A call of a step's node.

    Args:
        arrived: the values behind its links.
        device: that it runs on where it is of the `gpu` lane.
        checkpoints: keeps how far it has come.
        digest: of the value behind a link.
        warn: adds a warning to the result of the run.
        memory: counts what it takes of the device, in its turn there.
    """

    step: Step
    arrived: Mapping[Link, Any]
    device: RunDevice
    environment: RunEnvironment
    checkpoints: Checkpoints
    digest: Callable[[Link], Digest]
    warn: Callable[[Problem], object]
    memory: CallMemory | None = None

    def outcome(self) -> Outcome:
        """Call the node, within the time limit.

        Raises:
            BaseException: what ends the run itself: an interrupt of the user, a cancel.
        """
        limit = self.environment.node_timeout
        if not self._uses_device and limit is None:
            try:
                return self._timed(self.device.lane, None)
            finally:
                dismiss_team()
        joint = self._joint() if self._uses_device and self.device.lane.busy else None
        if limit is None and joint is None:
            return self._in_turn()
        limit = math.inf if limit is None else limit
        call: LimitedCall[Outcome] = LimitedCall(partial(self._in_turn, joint=joint), limit, self.environment.cancelled)
        waiting = self.environment.joint.waiting(joint) if joint and self.environment.joint else nullcontext()
        try:
            with waiting:
                return call.result()
        except TimeLimitError as fault:
            return Outcome(fault, limit)

    def _joint(self) -> JointCall | None:
        """The call as others may make it, where it would wait for its device."""
        joint, single = self.environment.joint, self.step.call.type
        type = joint.batched(single) if joint else None
        if type is None:
            return None
        try:
            values = given_values(self.step.call, self.arrived, self.environment.limits)
        except InputError:  # as the call by itself will raise
            return None
        place = place_of(self.step, type, values, self.device.device, self.digest)
        hears = Hears(partial(self._progress, None), self._warned, self._relieved, self.environment.cancelled)
        if place is None:
            return None
        call = JointCall(type, place, values, hears, self._finished)
        if need := self.step.memory:
            call.most = need.items_within(self.device.room(), call.items)
        return call

    def _finished(self, given: Any) -> Outputs:
        """The outputs of a call that was made with others."""
        values = declared_outputs(self.step.call.type, self.step.call.type.outputs_of(given), self.environment.limits)
        if self.environment.guarded:
            self._raise_if_changed()
        return self._verified(_with_digests(values))

    def _in_turn(self, limited: LimitedCall[Any] | None = None, joint: JointCall | None = None) -> Outcome:
        """The outcome of the call, in a turn on the device where it uses that."""
        if not self._uses_device:
            return self._timed(self.device.lane, limited)
        try:
            with self.device.lane.turn(partial(self._look, joint)) as lane:
                if joint is not None and limited is not None and (outcome := self._together(joint, lane, limited)):
                    return outcome
                memory = CallMemory(self.device)
                outcome = self._replace(memory=memory)._timed(lane, limited)._replace(peak=self.device.peak())
                if not isinstance(outcome.outputs, BaseException):
                    memory.remember(self.step, self.environment.store)
                return outcome
        except InputError as fault:  # there is no turn to be had: the device is lost
            return Outcome(fault, 0.0)
        except MadeByAnother:
            assert joint is not None and joint.outcome is not None
            return joint.outcome

    def _together(self, joint: JointCall, lane: DeviceLane, limited: LimitedCall[Any]) -> Outcome | None:
        """The outcome of a call that is made with those of other runs; None where it is to be made by itself."""
        joints = self.environment.joint
        assert joints is not None
        while joint.outcome is None and len((batch := joints.batch(joint)).calls) > 1:
            if joint.left:  # this run goes no further than what it has begun for others
                raise Cancelled("the run was cancelled")
            limited.begin(len(batch.calls))
            fault = self._made(batch, lane, limited)
            if fault is not None:
                clear_frames(fault)
                if is_out_of_memory(fault):
                    with reliefs_to(batch.relief):
                        self.device.make_room()
                    joints.too_large(batch)
                    batch.relief(Relief("retried", "in a smaller batch"))
                else:
                    batch.dissolve()
        return joint.outcome

    def _made(self, batch: CallBatch, lane: DeviceLane, limited: LimitedCall[Any]) -> BaseException | None:
        """Make several calls at once; what they raised, if anything."""

        def cancelled() -> bool:
            return limited.given_up or limited.overdue or batch.unwanted()

        context = self.environment.context(
            device=self.device.device,
            on_weights=partial(self.environment.devices.used, self.step),
            resources=self.step.found,
            on_progress=batch.progress,
            cancelled=cancelled,
            lane=lane,
        )
        self.device.begin_peak()
        started = time.perf_counter()
        try:
            with receiving(batch.notice), reliefs_to(batch.relief), cancelled_by(cancelled):
                (given,) = batch.calls[0].type.call(batch.values, context).values()
            outputs = [call.finished(own) for call, own in zip(batch.calls, given, strict=True)]
        except BaseException as fault:
            if cancelled():
                batch.dissolve()
            raise_unless_own(fault, cancelled)
            return fault
        batch.end(outputs, time.perf_counter() - started, self.device.peak())
        return None

    def _timed(self, lane: DeviceLane, limited: LimitedCall[Any] | None) -> Outcome:
        if limited is not None:
            limited.begin()
        started = time.perf_counter()
        outputs = self._computed(lane, limited)
        return Outcome(outputs, time.perf_counter() - started)

    @property
    def _uses_device(self) -> bool:
        return self.step.call.type.lane == "gpu"

    def _look(self, joint: JointCall | None) -> None:
        """End the wait for the device where the run was cancelled, or another one has made the call."""
        if joint is not None:
            joint.raise_if_made()
        if self.environment.cancelled():
            raise Cancelled("the run was cancelled")

    def _computed(self, lane: DeviceLane, limited: LimitedCall[Any] | None) -> Outputs:
        """The outputs of a call, or what it raised; `ChangedFile` where it may have read what its key does not say."""
        savings = self._foreseen() if self.step.call.type.context_name else NO_SAVINGS
        if self.memory:
            self.memory.savings = savings
        outputs = self._tried(lane, limited, savings)
        if isinstance(outputs, BaseException):
            clear_frames(outputs)
            if is_out_of_memory(outputs):
                outputs = self._with_room(partial(self._tried, lane, limited), savings)
        return self._verified(outputs) if self.step.found else outputs

    def _foreseen(self) -> Savings:
        """What the call is asked to save at once: the device has too little memory for it, by calls like it."""
        need = self.step.memory
        if need is None or not need.saving:
            return Savings()
        savings = Savings(frozenset((need.saving,)))
        self._relieved(Relief("foreseen", str(savings)))
        return savings

    def _verified(self, outputs: Outputs) -> Outputs:
        """The outputs; `ChangedFile` where the files that the call names are others by now."""
        try:
            for found in self.step.found.values():
                self.environment.verify(found)
        except ChangedFile as change:
            return change
        return outputs

    def _tried(self, lane: DeviceLane, limited: LimitedCall[Any] | None, savings: Savings) -> Outputs:
        """The outputs of a call, or what it raised: anything but an interrupt of the user and the end of the run."""
        try:
            with receiving(self._warned), reliefs_to(self._relieved):
                context = partial(self._context, lane, limited, savings)
                given = called(self.step.call, self.arrived, context, self.environment.limits)
            if self.environment.guarded:
                self._raise_if_changed()
            return _with_digests(given)
        except BaseException as fault:
            raise_unless_own(fault, limited.cancelled if limited else self.environment.cancelled)
            return fault

    def _with_room(self, call: Callable[[Savings], Outputs], savings: Savings) -> Outputs:
        """The outputs of a call that ran out of memory, called again with more room each time.

        First everything unused is evicted; then the call is asked to save memory in each way that it can.
        """
        ways, following = ["after all weights that nothing used were evicted"], savings
        while True:
            with reliefs_to(self._relieved):
                self.device.make_room()
            self._relieved(Relief("retried", " and ".join(ways)))
            outputs = call(following)
            if not isinstance(outputs, BaseException):
                message = f"it ran out of memory, and ran again {' and '.join(ways)}"
                self._warned(Notice(message, "a lower --weights leaves more room for work", "out-of-memory"))
                return outputs
            clear_frames(outputs)
            if not is_out_of_memory(outputs):
                return outputs
            further = following.next()
            if further is None:
                holds = self.device.holds()
                self.device.make_room()
                return missing_memory(outputs, holds)
            following = further
            ways = [*ways[:1], str(following)]

    def _context(self, lane: DeviceLane, limited: LimitedCall[Any] | None, savings: Savings) -> Context:
        return self.environment.context(
            device=self.device.device,
            on_weights=self._uses,
            resources=self.step.found,
            on_progress=partial(self._progress, limited),
            cancelled=limited.cancelled if limited else self.environment.cancelled,
            lane=lane,
            savings=savings,
            checkpoints=self.checkpoints,
        )

    def _uses(self, recipe: Recipe[Any]) -> None:
        self.environment.devices.used(self.step, recipe)
        if self.memory:
            self.memory.uses(recipe)

    def _raise_if_changed(self) -> None:
        for name, link in self.step.call.links:
            if content_digest(self.arrived[link]) != self.digest(link):
                raise InputError(
                    f"{self.step.call.type.name} changes its input `{name}`, which came from `{link}`",
                    "a value on a link is never changed: work on a copy",
                    "changed-input",
                )

    def _progress(
        self,
        limited: LimitedCall[Any] | None,
        done: int,
        steps: int,
        preview: events.Preview | None,
        measured: Mapping[str, float],
    ) -> None:
        if limited is not None and limited.given_up:
            return
        shown = events.rendered(self.environment.emit.listener, self.step.call.id, preview)
        call = self.step.call
        self.environment.emit(events.NodeProgress(call.id, call.type.name, done, steps, shown, measured))

    def _warned(self, notice: Notice) -> None:
        id = self.step.call.id
        self.warn(Problem(notice.message, notice.hint, id, code=notice.code))
        self.environment.emit(events.WarningGiven(id, "", notice.message, notice.hint, notice.code))

    def _relieved(self, relief: Relief) -> None:
        if self.memory:
            self.memory.relieved(relief)
        given = {"action": relief.action, "what": relief.what, "freed": relief.freed}
        self.environment.report(events.MemoryRelieved, self.step, **given)


def _with_digests(given: Mapping[str, Any]) -> dict[str, Computed]:
    return {name: _with_digest(laid_out(item)) for name, item in given.items()}


def _with_digest(item: Any) -> Computed:
    return Computed(item, content_digest(item))


def raise_unless_own(fault: BaseException, cancelled: Callable[[], bool]) -> None:
    """Raise what ends a call from outside, which is no failure of the node that raised it."""
    if is_interrupt(fault) or (isinstance(fault, Cancelled) and cancelled()):
        raise fault
