"""Runs plans: what an engine does around the executor of one plan, from the first event of a run to its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from weft.engine import events
from weft.engine.errors import Cancelled, ChangedFile, GraphError, Problem, StoreError
from weft.engine.graph.bundle import self_contained
from weft.engine.graph.document import write
from weft.engine.graph.foreign import carried_texts
from weft.engine.interrupts import interrupts_noted
from weft.engine.keys import Digest
from weft.engine.output_value import plain_output
from weft.engine.planning.graph_planner import GraphPlanner
from weft.engine.planning.planner import Plan, with_memory
from weft.engine.planning.replan import PLANS
from weft.engine.running.auditing import audit as audited
from weft.engine.running.delivery import Folder, check_output, versions
from weft.engine.running.demanded_judge import DemandedJudge
from weft.engine.running.emitter import Emitter, raise_if_in_listener
from weft.engine.running.engine_devices import EngineDevices
from weft.engine.running.in_progress import InProgress
from weft.engine.running.joint_calls import JointCalls
from weft.engine.running.partial_result import PartialResult
from weft.engine.running.result import Result
from weft.engine.running.run_environment import RunEnvironment
from weft.engine.running.run_in_parts import RunInParts
from weft.engine.running.run_store import RunStore
from weft.engine.spec.at_once import cancelled_around, inside_a_run, running
from weft.engine.spec.context import Context, never
from weft.engine.spec.node import NodeType
from weft.engine.store import MemoryNote, NullStore, Store
from weft.engine.weights.header_check import HeaderCheck

RunNow = Callable[[NodeType, Mapping[str, Any]], Any]


@dataclass(frozen=True)
class RunOptions:
    """What one run is given besides its plan; `Engine.run` describes each."""

    output: Path
    metadata: bool
    listener: events.Listener = events.ignore
    cancelled: Callable[[], bool] = never


@dataclass(frozen=True)
class GraphRunner:
    """Runs plans over one store, on the devices of one engine.

    Args:
        planner: plans graphs over the same store.
        devices: what nodes run on.
        headers: compares headers with what was hashed after them.
        context: makes a node's context from its files, progress callback and lane.
        run_now: runs node types that nodes call.
        judge: judges what is delivered; None where nobody demands that.
        in_progress: what other runs over the store compute.
        joint: the calls of all runs that wait for a device, and may be made together.
        memory: bytes of results that a run may keep which has no store.
        guarded: whether a node that changes a value on a link is caught.
        node_timeout: seconds that one call of a node may take.
        checkpoint_every: seconds after which a training keeps its state in the store.
    """

    planner: GraphPlanner
    devices: EngineDevices
    headers: HeaderCheck
    context: Callable[..., Context]
    run_now: RunNow
    judge: DemandedJudge | None
    in_progress: InProgress
    joint: JointCalls
    memory: int
    guarded: bool
    node_timeout: float | None
    checkpoint_every: float

    @property
    def store(self) -> Store:
        """Where results are kept."""
        return self.planner.store

    def execute(self, planned: Plan, options: RunOptions, audit: float = 0.0, plans: int = PLANS) -> Result:
        """Run a plan. Arguments and errors are those of `Engine.execute`."""
        raise_if_in_listener("run a graph")
        self._check_possible(planned, options)
        started = time.perf_counter()
        emit = Emitter(self._unjudged_left_out(options.listener))
        around = cancelled_around() or never
        stops = _Stop(emit, options.cancelled, around)
        lost: list[Problem] = []
        store = self._store_for(planned, partial(_report_lost, emit, lost))
        parts = self._parts(store, options, emit, stops, plans)
        _report_begin(planned, parts.result, emit)
        if next(planned.of("run"), None) is not None:
            store.check_writable()
        try:
            with running(self.run_now, stops), interrupts_noted():
                planned = parts.run(planned)
        except (GraphError, ChangedFile):
            _report_end(parts.result, "failed", time.perf_counter() - started, emit)
            raise
        found = parts.result
        found.warnings += lost
        for name, item in found.outputs.items():
            emit(events.OutputGiven(name, plain_output(item)))
        self._remember(planned, found, store)
        self._count_short(planned, found)
        unstable = self._audited(planned, audit, emit, stops) if audit and found.status == "done" else ()
        seconds = time.perf_counter() - started
        if emit.failed():
            found.status = "failed"
        _report_end(found, found.status, seconds, emit)
        if emit.fault is not None:
            raise emit.fault
        if found.status == "cancelled" and around():
            raise Cancelled("the run around this one was cancelled")
        return found.finished(seconds, unstable)

    def outputs_of(self, planned: Plan) -> Mapping[str, Any]:
        """The outputs of a plan of instant nodes, which is run without events, and keeps nothing."""
        options = RunOptions(Path(), metadata=False)
        parts = self._parts(NullStore(), options, Emitter(), never)
        parts.part(planned)
        return parts.result.outputs

    def measured(self, planned: Plan) -> Plan:
        """A plan with what its steps need of the device's memory, which the store keeps."""
        from weft.engine.running.dry_run import measured

        residency = self.devices.residency
        for found in planned.resources:
            residency.sources.learn(found)
        limits = self.planner.workspace.limits
        counted = dict(measured(planned, residency, self.planner.settings["precision"], limits))
        with suppress(StoreError):  # a store that can only be read keeps no more than it has
            for key, note in counted.items():
                self.store.remember(key, note)

        def known(key: Digest) -> MemoryNote | None:
            return counted.get(key) or self.store.recall(key, MemoryNote)

        return replace(planned, steps=tuple(with_memory(planned.steps, known, self.devices.rooms)))

    def _check_possible(self, planned: Plan, options: RunOptions) -> None:
        """Refuse what cannot end well before anything is computed."""
        if _makes_files(planned):
            check_output(options.output)
        if self.judge:
            self.judge.check()

    def _unjudged_left_out(self, listener: events.Listener) -> events.Listener:
        """The listener, without previews where pictures are judged: nobody has judged what these show."""
        return listener.listener if self.judge and isinstance(listener, events.Previewed) else listener

    def _parts(
        self, store: Store, options: RunOptions, emit: Emitter, stops: Callable[[], bool], plans: int = PLANS
    ) -> RunInParts:
        """A run over a store, which shares what it computes with others unless it is inside of a node."""
        outermost = not inside_a_run()
        shared = isinstance(store, RunStore) and store.store is self.store and store.keeps
        in_progress = self.in_progress if outermost and shared else None
        joint = self.joint if outermost else None
        environment = partial(self._environment, store, options, emit, stops, in_progress, joint)
        return RunInParts(environment, self.planner.over(store), plans)

    def _store_for(self, planned: Plan, report: Callable[[StoreError], None]) -> RunStore:
        """The store of a run, with one that lasts as long as the run where parts of it must find what others gave."""
        if not planned.checked.pending:
            return RunStore(self.store, report)
        from weft.engine.store.memory import MemoryStore

        own = MemoryStore(self.memory)
        return RunStore(self.store, report, own) if self.store.keeps else RunStore(own, report)

    def _environment(
        self,
        store: Store,
        options: RunOptions,
        emit: Emitter,
        stops: Callable[[], bool],
        in_progress: InProgress | None,
        joint: JointCalls | None,
        planned: Plan,
        final: bool,
    ) -> RunEnvironment:
        limits = self.planner.workspace.limits
        if planned.runs:
            self._confirm(planned)
        for found in planned.resources:
            self.devices.residency.sources.learn(found)
        return RunEnvironment(
            store=store,
            context=partial(self.context, limits=limits),
            deliver=self._folder(planned, options),
            devices=self.devices.of_a_run(),
            in_progress=in_progress,
            joint=joint,
            emit=emit,
            cancelled=stops,
            trace={"device": ",".join(self.devices.names), **self.planner.settings, **versions()},
            resident=self.devices.resident if self.devices.budgeted else None,
            guarded=self.guarded,
            limits=limits,
            verify=self.headers.digests.verify,
            final=final,
            node_timeout=self.node_timeout,
            checkpoint_every=self.checkpoint_every,
        )

    def _confirm(self, planned: Plan) -> None:
        """Raise `ChangedFile` where the headers that were checked are of other content than what was hashed after."""
        found = [step for step in planned.steps if step.found]
        if not found:
            return
        places = self.planner.workspace.places(planned.checked.graph)
        for step in found:
            for name, one in step.call.type.inputs.items():
                text = step.call.inputs.get(name)
                if one.resource is not None and isinstance(text, str) and text in step.found:
                    self.headers.confirm(one.resource, step.found[text], places)

    def _folder(self, planned: Plan, options: RunOptions) -> Folder:
        graph, subgraphs = planned.checked.graph, planned.checked.subgraphs

        @cache
        def text() -> str:
            whole = self_contained(graph, subgraphs)
            if whole.carries:
                whole = replace(whole, carries=carried_texts(graph, planned.checked.catalog))
            return write(whole).decode()

        judged = self.judge.judged if self.judge else None
        return Folder(options.output, text if options.metadata else None, planned.contents, judged)

    def _remember(self, planned: Plan, found: PartialResult, store: Store) -> None:
        """Keep what the next plan compares with, and the store below its size."""
        self.planner.over(store).remember(planned)
        if found.ran:
            store.keep_within(self.planner.workspace.limits.max_store_bytes)

    def _count_short(self, planned: Plan, found: PartialResult) -> None:
        """Count what steps need that ran out of memory, so that calls like them are made with less at once."""
        short = {one.node for one in found.warnings if one.code == "out-of-memory"}
        if short and self.store.keeps:
            asked = [one if one.call.id in short else one._replace(memory_key=None) for one in planned.steps]
            self.measured(replace(planned, steps=tuple(asked)))

    def _audited(self, planned: Plan, share: float, emit: Emitter, stops: Callable[[], bool]) -> tuple[str, ...]:
        """Compute hits again; the nodes whose outputs differ."""
        unstable = []
        context = partial(self.context, limits=self.planner.workspace.limits)
        with running(self.run_now, stops), interrupts_noted():
            for found in audited(planned, share, self.store, context, self.devices.lane):
                emit(found)
                unstable += [found.node] if found.differ else []
                if stops():
                    break
        return tuple(unstable)


class _Stop:
    """Whether a run stops: once it is to, it stays so, whatever those say later that are asked.

    Args:
        emit: stops it where its listener has failed.
    """

    def __init__(self, emit: Emitter, *asked: Callable[[], bool]) -> None:
        self._emit = emit
        self._asked = [one for one in asked if one is not never]
        self._stopped = False

    def __call__(self) -> bool:
        if not self._stopped:
            self._stopped = self._emit.fault is not None or (bool(self._asked) and any(one() for one in self._asked))
        return self._stopped


def _report_begin(planned: Plan, result: PartialResult, emit: Emitter) -> None:
    if not emit.unheard:
        counts = {state: len([*planned.of(state)]) for state in ("run", "cached", "undecided")}
        emit(events.RunStarted(**counts))
    result.warnings += planned.checked.warnings
    for one in planned.checked.warnings:
        emit(events.WarningGiven(one.node, one.input, one.message, one.hint, one.code))


def _report_lost(emit: Emitter, lost: list[Problem], fault: StoreError) -> None:
    """Report that results are not kept."""
    problem = Problem(f"{fault.message}; the run goes on, and its results are not kept", fault.hint, code=fault.code)
    lost.append(problem)
    emit(events.WarningGiven("", "", problem.message, problem.hint, problem.code))


def _report_end(found: PartialResult, status: str, seconds: float, emit: Emitter) -> None:
    emit(events.RunFinished(status, len(found.ran), len(found.cached), round(seconds, 6), found.peak))


def _makes_files(planned: Plan) -> bool:
    """Whether a node that runs may give a file; what is cached may have been delivered before."""
    calls = planned.checked.calls
    sinks = {id for id in planned.checked.wanted if calls[id].type.sink}
    if planned.checked.pending:
        return bool(sinks)
    return bool(sinks) and any(step.call.id in sinks for step in planned.of("run", "undecided"))
