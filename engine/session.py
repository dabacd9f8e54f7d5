"""Engine: what a program holds. Catalogue, store and weights live here and nowhere else.

    with Engine() as engine:
        result = engine.run(Graph.load("portrait.json"))

Each step of a run is one function from values to values: `check` -> `plan` -> `run` -> artifacts.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from weft.engine import events
from weft.engine.accelerators import accelerators
from weft.engine.artifact import Artifact
from weft.engine.checking.checker import Checked, check
from weft.engine.device import common_precision, resolve_devices, resolve_offload
from weft.engine.errors import Cancelled, ChangedFile, GraphError, InputError, StoreError
from weft.engine.file_stamp import FileStamp
from weft.engine.graph.bundle import self_contained
from weft.engine.graph.document import write
from weft.engine.graph.graph import Graph
from weft.engine.graph_files import as_graph
from weft.engine.home import with_home
from weft.engine.interrupts import interrupts_noted
from weft.engine.keys import Digest
from weft.engine.limits import Limits
from weft.engine.notices import give_notice
from weft.engine.one_or_many import one_or_many
from weft.engine.out_of_memory import release_memory
from weft.engine.output_value import plain_output
from weft.engine.planning.last_run import MAX_NODES, history_key, memo, pack, unpack
from weft.engine.planning.memory_needs import Room
from weft.engine.planning.planner import Plan, plan, raise_if_changed, with_memory
from weft.engine.planning.replan import Values, cached_values, decided, instant_part, replan
from weft.engine.quantities import shown_size
from weft.engine.running.auditing import audit as audited
from weft.engine.running.delivery import Folder, check_output, versions
from weft.engine.running.emitter import Emitter, raise_if_in_listener
from weft.engine.running.executor import RunEnvironment
from weft.engine.running.in_progress import InProgress
from weft.engine.running.node_call import admitted
from weft.engine.running.result import Result
from weft.engine.running.run_devices import RunDevice, RunDevices
from weft.engine.running.run_in_parts import PLANS, RunInParts
from weft.engine.settings import MAX_SECONDS, TABLE, Settings, default, resolve
from weft.engine.spec.at_once import cancelled_around, inside_a_run, register_default, running
from weft.engine.spec.catalog import Catalog, installed
from weft.engine.spec.context import Context, never
from weft.engine.spec.node import NodeType
from weft.engine.store import HistoryNote, MemoryNote, NullStore, Store
from weft.engine.store.codec import laid_out
from weft.engine.submission import Submission
from weft.engine.verdict import PictureJudge, SafetyDemand
from weft.engine.weights.device_lane import lane_of
from weft.engine.weights.device_memory import DeviceMemory, begin_peak, is_in_use, memory_of, peak_of
from weft.engine.weights.file_digests import FileDigests
from weft.engine.weights.header_check import HeaderCheck
from weft.engine.weights.machine_cores import spin_briefly
from weft.engine.weights.recipes import Sources
from weft.engine.weights.residency import Residency
from weft.engine.weights.resources import SearchPaths

T = TypeVar("T")


@dataclass(frozen=True)
class RunOptions:
    """What one run is given besides its plan; `Engine.run` describes each."""

    emit: Emitter = field(default_factory=Emitter)
    cancelled: Callable[[], bool] = never
    output: Path = Path("output")
    metadata: bool | None = None


@dataclass
class Engine:
    """Runs graphs; keeps results and weights between runs. What is not given is as the user's settings have it.

    Args:
        store: a folder, a store, or None for one that keeps nothing.
        shared: the URL or folder of a store that machines share, behind the folder of `store`.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`; several, `cuda:0,cuda:1`, share the nodes of a run, and node
            types that are called at once run on the first.
        precision: `auto`, `float32`, `float16`, `bfloat16`; `auto` on a GPU is by part, with bfloat16 or without
            (`auto-bfloat16`, `auto-float16`).
        models: folders in which models are looked up, before those of the settings.
        inputs: folders in which files named by graphs are looked up, after the graph's and the working one and before
            those of the settings.
        output: the folder that artifacts are delivered to.
        nodes: Python files with node types of the user's own.
        metadata: whether delivered pictures carry their graph.
        download: whether a run may fetch models that are named by hub id.
        memory: bytes of results to keep in memory.
        weights: bytes of weights to keep on a device; None is what it has, less `reserve`, and on the CPU all.
        reserve: bytes of a device that weights leave free for work; None is a gigabyte and a tenth of it.
        offload: what waits in the host's memory until it runs: `auto` (what the device has no room for), `none`,
            `model` (models, but the one that runs), `group` (also blocks) or `sequential` (also layers).
        preview_decoders: a folder of small decoders that draw previews of steps.
        node_timeout: seconds that one call of a node may take (`weft.engine.running.time_limit`); None without a limit.
        checkpoint_every: seconds after which a training keeps its state in the store.
        report: gets a text about what a run does without, such as a shared store that does not answer.
        guarded: digests what arrives at a node again after it ran, so that a node that changes its inputs is caught.
        history: whether what a graph was is remembered at each run, so that the next plan can say what changed since.
        safety: what every picture that is delivered is judged by, whatever the graph is; None where nobody demands it.
    """

    store: Path | str | Store | None = field(default_factory=default("store"))
    shared: str | None = field(default_factory=default("shared_store"))
    device: str = field(default_factory=default("device"))
    precision: str = field(default_factory=default("precision"))
    models: Sequence[str | Path] = ()
    inputs: Sequence[str | Path] = ()
    output: str | Path = field(default_factory=default("output"))
    nodes: Sequence[str | Path] = ()
    metadata: bool = field(default_factory=default("metadata"))
    download: bool = field(default_factory=default("download"))
    memory: int = field(default_factory=default("memory"))
    weights: int | None = field(default_factory=default("weights"))
    reserve: int | None = field(default_factory=default("reserve"))
    offload: str = field(default_factory=default("offload"))
    preview_decoders: str | Path | None = field(default_factory=default("preview_decoders"))
    node_timeout: float | None = field(default_factory=default("node_timeout"))
    checkpoint_every: float = field(default_factory=default("checkpoint_every"))
    report: Callable[[str], None] = warnings.warn
    guarded: bool = False
    history: bool = True
    limits: Limits = field(default_factory=default("limits"))
    safety: SafetyDemand | None = field(default_factory=default("safety_demand"))

    def __post_init__(self) -> None:
        if self.node_timeout is not None and not 0 < self.node_timeout <= MAX_SECONDS:
            message = f"`node_timeout` is {self.node_timeout}, expected seconds above 0"
            raise InputError(message, "leave it out for no limit", "malformed-setting")
        spin_briefly()  # first: what follows may import torch
        self.models, self.inputs, self.nodes = (one_or_many(one) for one in (self.models, self.inputs, self.nodes))
        self.reload_nodes()
        self._store, self._digests = self._stores()
        settings = resolve()
        self._folders = {"inputs": settings.inputs, "models": settings.models}
        self._devices = resolve_devices(self.device)
        self._device = self._devices[0]
        self._settings = {"precision": common_precision(self.precision, self._devices)}
        self._headers = HeaderCheck(self._digests)
        self._residency = Residency(
            Sources(self._digests.verify), self.weights, self.reserve, resolve_offload(self.offload)
        )
        self._lane = lane_of(self._device)
        self._used_kinds: dict[str, set[type]] = {}
        self._in_progress = InProgress()
        precision, decoders = self._settings["precision"], self.preview_decoders
        preview_decoders = None if decoders is None else with_home(decoders)
        self._context = partial(
            Context,
            device=self._device,
            setting=precision,
            residency=self._residency,
            preview_decoders=preview_decoders,
        )

    def _stores(self) -> tuple[Store, FileDigests]:
        """The store, and the memory of file digests that lies in the folder of one on disk."""
        if self.store is None:
            return NullStore(), FileDigests()
        if isinstance(self.store, (str, Path)):
            from weft.engine.store.disk import DiskStore  # a check needs none
            from weft.engine.store.shared import stacked

            folder = with_home(self.store)
            return stacked(DiskStore(folder), self.memory, self.shared, self.report), FileDigests(folder / "files.json")
        return self.store, FileDigests()

    @classmethod
    def of(cls, settings: Settings, **others: Any) -> Engine:
        """An engine with settings that were resolved before.

        Args:
            others: fields that are no settings, such as `nodes`, and those that replace a setting.
        """
        names = {one.name for one in fields(cls)} & {one.name for one in TABLE} - others.keys()
        given = {name: settings.value(name) for name in names}
        if "store" in given and given["store"] is None:
            message = "results are not kept: there is no home folder that can be written to (--store DIR names another)"
            others.get("report", warnings.warn)(message)
        given |= {"shared": settings.shared_store, "limits": settings.limits, "safety": settings.safety_demand}
        return cls(**{**given, **others})

    def __repr__(self) -> str:
        store = self.store if isinstance(self.store, (str, Path)) else self._store.__class__.__name__
        where = f"{self.resolved_device}, {self._settings['precision']}"
        return f"Engine({where}, store {store}, {len(self.catalog)} node types)"

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def resolved_device(self) -> str:
        """The device that nodes run on, as torch names it: `cpu`, `cuda:0`; several with commas between them."""
        return ",".join(self._devices)

    @property
    def resolved_precision(self) -> str:
        """In what nodes run: `float32`, `float16`, `bfloat16`; `auto-bfloat16` or `auto-float16` by part."""
        return self._settings["precision"]

    def close(self) -> None:
        """Evict weights that nothing uses; the store on disk stays."""
        self._residency.clear()

    def reload_nodes(self) -> None:
        """Read the user's node files again, after one of them has changed.

        Raises:
            CatalogError: where one cannot be loaded; the node types stay as they were.
        """
        self._node_files: dict[Path, FileStamp | None] = {}
        catalog = installed()
        if self.nodes:
            from weft.engine.spec.node_file_loading import joined_with_files

            catalog = joined_with_files(catalog, map(Path, self.nodes), self._node_files)
        self.catalog = catalog

    @property
    def node_files(self) -> Mapping[Path, FileStamp | None]:
        """The user's node files and the modules that they import from their folders, as they were read last."""
        return self._node_files

    def places(self, graph: Graph | None = None) -> SearchPaths:
        """Where files that a graph names are looked up."""
        return SearchPaths(
            base=graph.path.parent if graph and graph.path else None,
            inputs=tuple(dict.fromkeys([*map(Path, self.inputs), *self._folders["inputs"]])),
            models=tuple(dict.fromkeys([*map(Path, self.models), *self._folders["models"]])),
            download=self.download,
            contents=graph.contents if graph else {},
        )

    def check(self, graph: Graph | str | Path, only: Iterable[str] = ()) -> Checked:
        """Every static problem of a graph, in `.problems`; nothing is hashed or run.

        Args:
            graph: a graph, or the path of a graph file or of a picture that carries its graph.
        """
        graph = as_graph(graph, self.limits.max_file_bytes)
        return check(graph, self.catalog, self.places(graph), self.limits, one_or_many(only))

    def plan(self, graph: Graph | str | Path, only: Iterable[str] = (), *, memory: bool = False) -> Plan:
        """What `run` will do.

        Args:
            graph: a graph, or the path of a graph file or of a picture that carries its graph.
            memory: whether what no earlier plan has counted of the memory that steps need is counted now, by running
                them on shapes alone. The store keeps what is counted.

        Raises:
            GraphError: with every problem of the graph.
        """
        graph = as_graph(graph, self.limits.max_file_bytes)
        planned = self._planned(graph, one_or_many(only), self.catalog, self._store)
        return self._measured(planned) if memory else planned

    def _measured(self, planned: Plan) -> Plan:
        """A plan with what its steps need of the device's memory."""
        from weft.engine.running.dry_run import measured

        for step in planned.steps:
            for found in step.found.values():
                self._residency.sources.learn(found)
        counted = dict(measured(planned, self._residency.sources, self._settings["precision"], self.limits))
        with suppress(StoreError):  # a store that can only be read keeps no more than it has
            for key, note in counted.items():
                self._store.remember(key, note)

        def known(key: Digest) -> MemoryNote | None:
            return counted.get(key) or self._store.recall(key, MemoryNote)

        return replace(planned, steps=tuple(with_memory(planned.steps, known, self._room)))

    def _room(self) -> Room:
        """What a run may use of the device's memory, as far as that is known without torch, or torch is loaded."""
        memory = memory_of(self._device) if is_in_use(self._device) else None
        if memory is None:
            found = accelerators(self._device.partition(":")[0]).devices
            total = next((one.memory for one in found if one.device == self._device), 0)
            memory = DeviceMemory(total, total) if total else None
        if memory is None:
            return Room(weights=self.weights)
        reserve = memory.reserve if self.reserve is None else self.reserve
        free = memory.free + self._residency.used_on(self._device)
        return Room(free, max(free - reserve, 0) if self.weights is None else self.weights)

    def _planned(self, graph: Graph, only: tuple[str, ...], catalog: Catalog, store: Store) -> Plan:
        """The plan of a graph, made again where a file is changed meanwhile."""

        def attempt() -> Plan:
            checked = self._checked(check(graph, catalog, self.places(graph), self.limits, only))
            return replan(self._plan(checked, store), self._known_values, partial(self._check_again, store))

        return _while_files_change(attempt)

    def _afresh(self, store: Store, planned: Plan) -> Plan:
        """The plan of a plan's graph with its files as they are now."""
        checked = planned.checked
        return self._planned(checked.graph, checked.only, checked.catalog or self.catalog, store)

    def _known_values(self, planned: Plan) -> Values:
        """The values that decide what else a plan needs, where the store has them or instant nodes give them."""
        values = {**cached_values(planned)}
        part = instant_part(planned.checked)
        if part is not None:
            instant = self._parts(NullStore(), RunOptions())
            instant.part(self._plan(part, NullStore()))
            values |= decided(planned.checked, instant.result.outputs)
        return values

    def _checked(self, checked: Checked) -> Checked:
        if checked.problems:
            raise GraphError(checked.problems)
        return checked

    def _check_again(self, store: Store, planned: Plan, known: Values) -> Plan:
        """The plan of a plan's graph with what is known by now of the values that decide it."""
        before = planned.checked
        catalog, places = before.catalog or self.catalog, self.places(before.graph)
        checked = check(before.graph, catalog, places, self.limits, before.only, known, before.subgraphs)
        again = self._plan(self._checked(checked), store)
        raise_if_changed(planned, again)
        return again

    def _plan(self, checked: Checked, store: Store) -> Plan:
        last = unpack(store.recall(history_key(checked.graph), HistoryNote) if self.history else None)
        return plan(checked, store, self._settings, self._digests, last, self._device, self._room)

    def run(
        self,
        graph: Graph | str | Path,
        *,
        only: Iterable[str] = (),
        listener: events.Listener = events.ignore,
        cancelled: Callable[[], bool] = never,
        output: str | Path | None = None,
        metadata: bool | None = None,
    ) -> Result:
        """Run a graph. Several threads may run graphs on one engine; each result is what it is alone.

        Args:
            graph: a graph, or the path of a graph file or of a picture that carries its graph.
            only: nodes to run instead of every sink and output.
            listener: gets every event of the run, one at a time, from the threads of the run.
            cancelled: asked before each node and in each step; the run stops once it says so.
            output: the folder that artifacts are delivered to; the engine's where left out.
            metadata: whether delivered pictures carry their graph; as the engine says where left out.

        Raises:
            GraphError: with every problem of the graph.
            InputError: in a listener, which cannot run a graph (`inside-listener`).
            Exception: what the listener raised, after the run has ended.
            NodeError: for the first node that failed, after everything that could run has run.
        """
        raise_if_in_listener("run a graph")
        planned = self.plan(graph, only)
        result = self.execute(planned, listener=listener, cancelled=cancelled, output=output, metadata=metadata)
        if result.failures:
            raise result.failures[0]
        return result

    def submit(
        self,
        graph: Graph | str | Path,
        *,
        only: Iterable[str] = (),
        previews: bool = False,
        listener: events.Listener = events.ignore,
        output: str | Path | None = None,
        metadata: bool | None = None,
    ) -> Submission:
        """Run a graph in a thread; gives its events as they come and its result when it is there.

        Runs share results and weights, and take turns on the device after each node.

        Args:
            graph: a graph, or the path of a graph file or of a picture that carries its graph.
            previews: whether its `NodeProgress` events carry previews of the picture so far.
            listener: gets every event too, in the thread of the run.
        """
        wanted = one_or_many(only)

        def work(emit: events.Listener, cancelled: Callable[[], bool]) -> Result:
            def hear(event: events.Event) -> None:
                emit(event)  # first: it reaches whoever iterates also where the listener raises
                listener(event)

            shown = events.Previewed(hear) if previews else hear
            planned = self.plan(graph, wanted)
            return self.execute(planned, listener=shown, cancelled=cancelled, output=output, metadata=metadata)

        return Submission(work)

    def execute(
        self,
        planned: Plan,
        *,
        listener: events.Listener = events.ignore,
        cancelled: Callable[[], bool] = never,
        output: str | Path | None = None,
        metadata: bool | None = None,
        audit: float = 0.0,
        plans: int = PLANS,
    ) -> Result:
        """Run a plan; failures of nodes are in the result rather than raised.

        A stored result that turns out damaged is dropped, reported and computed again. Where a file is not what it was
        when the plan was made, nothing that was made of it is kept, and the graph is planned again. `listener`,
        `cancelled`, `output` and `metadata` are as in `run`.

        Args:
            audit: the share of hits, in 0..1, to compute again and compare, so that nodes show which are not
                deterministic.
            plans: how often the graph may be planned where its files change, this plan included. After the last time
                the node that read such a file has failed (`changed-file`).

        Raises:
            ChangedFile: where files change each time that the graph is planned.
            GraphError: where a file was changed since, and the graph cannot run with what it is now.
            InputError: in a listener, which cannot run a graph (`inside-listener`); where files are to be made and the
                output folder cannot be written (`unwritable-file`).
            StoreError: where something is to be computed and the store cannot be written.
            Exception: what the listener raised, after the run has ended.
            Cancelled: in a node whose own run was cancelled meanwhile.
        """
        raise_if_in_listener("run a graph")
        folder = Path(self.output if output is None else output)
        if _makes_files(planned):
            check_output(folder)
        if next(planned.of("run"), None) is not None:
            self._store.check_writable()
        started = time.perf_counter()
        if self.safety:
            self._judge().check(self.safety.model, self.places())
        if self.safety and isinstance(listener, events.Previewed):
            listener = listener.listener  # nobody has judged what previews show
        emit = Emitter(listener)
        around = cancelled_around() or never

        stopped = threading.Event()  # a run that was cancelled stays so, whatever `cancelled` says later

        def stops() -> bool:
            if not stopped.is_set() and (emit.failed() or cancelled() or around()):
                stopped.set()
            return stopped.is_set()

        counts = {state: len([*planned.of(state)]) for state in ("run", "cached", "undecided")}
        emit(events.RunStarted(**counts))
        options = RunOptions(emit, stops, folder, metadata)
        parts = self._parts(self._store_for(planned), options, plans)
        parts.result.warnings += planned.checked.warnings
        for one in planned.checked.warnings:
            emit(events.WarningGiven(one.node, one.input, one.message, one.hint, one.code))
        try:
            with running(self.run_now, stops), interrupts_noted():
                planned = parts.run(planned)
        except (GraphError, ChangedFile):
            seconds = time.perf_counter() - started
            emit(
                events.RunFinished(
                    "failed", len(parts.result.ran), len(parts.result.cached), round(seconds, 6), parts.result.peak
                )
            )
            raise
        found = parts.result
        for name, item in found.outputs.items():
            emit(events.OutputGiven(name, plain_output(item)))
        if found.ran:
            self._recollect(planned)
            self._keep_within()
        else:
            with suppress(StoreError):  # a store that can only be read serves a run that needs nothing else
                self._recollect(planned)
        unstable = self._audited(planned, audit, options) if audit and found.status == "done" else ()
        seconds = time.perf_counter() - started
        if emit.failed():
            found.status = "failed"
        emit(events.RunFinished(found.status, len(found.ran), len(found.cached), round(seconds, 6), found.peak))
        if emit.fault is not None:
            raise emit.fault
        if found.status == "cancelled" and around():
            raise Cancelled("the run around this one was cancelled")
        return found.finished(seconds, unstable)

    def _parts(self, store: Store, options: RunOptions, plans: int = PLANS) -> RunInParts:
        """A run over a store, which shares what it computes with others unless it is inside of a node."""
        shares = store is self._store and store.keeps and not inside_a_run()
        return RunInParts(
            partial(self._environment, store, options, self._in_progress if shares else None),
            partial(self._plan, store=store),
            partial(self._check_again, store),
            partial(self._afresh, store),
            plans,
        )

    def _store_for(self, planned: Plan) -> Store:
        """The store of a run: one that lasts as long as the run where parts of it must find what others gave."""
        if planned.checked.pending and not self._store.keeps:
            from weft.engine.store.memory import MemoryStore

            return MemoryStore(self.memory)
        return self._store

    def _environment(
        self, store: Store, options: RunOptions, in_progress: InProgress | None, planned: Plan
    ) -> RunEnvironment:
        if planned.runs:
            self._confirm(planned)
        for step in planned.steps:
            for found in step.found.values():
                self._residency.sources.learn(found)
        return RunEnvironment(
            store=store,
            context=partial(self._context, limits=self.limits),
            deliver=self._folder(planned, options),
            devices=RunDevices(tuple(map(self._run_device, self._devices)), self._used_kinds),
            in_progress=in_progress,
            emit=options.emit,
            cancelled=options.cancelled,
            trace=self._trace(),
            resident=self._resident if self.weights is not None or self._device != "cpu" else None,
            guarded=self.guarded,
            limits=self.limits,
            verify=self._digests.verify,
            node_timeout=self.node_timeout,
            checkpoint_every=self.checkpoint_every,
        )

    def _confirm(self, planned: Plan) -> None:
        """Raise `ChangedFile` where the headers that were checked are of other content than what was hashed after."""
        places = self.places(planned.checked.graph)
        for step in planned.steps:
            for name, one in step.call.type.inputs.items() if step.found else ():
                text = step.call.inputs.get(name)
                if one.resource is not None and isinstance(text, str) and text in step.found:
                    self._headers.confirm(one.resource, step.found[text], places)

    def _audited(self, planned: Plan, share: float, options: RunOptions) -> tuple[str, ...]:
        """Compute hits again; the nodes whose outputs differ."""
        unstable = []
        with running(self.run_now, options.cancelled), interrupts_noted():
            for found in audited(planned, share, self._store, partial(self._context, limits=self.limits), self._lane):
                options.emit(found)
                unstable += [found.node] if found.differ else []
                if options.cancelled():
                    break
        return tuple(unstable)

    def _keep_within(self) -> None:
        """Keep the store below its size."""
        self._store.keep_within(self.limits.max_store_bytes)

    def _recollect(self, planned: Plan) -> None:
        """Remember what ran, for the reasons of the next plan."""
        if self.history and len(planned.steps) <= MAX_NODES:
            memos = ((step.call.id, memo(step.call, step.found)) for step in planned.steps)
            self._store.remember(history_key(planned.checked.graph), pack(memos))

    def _run_device(self, device: str) -> RunDevice:
        """A device as a run uses it."""
        return RunDevice(
            device,
            lane_of(device),
            make_room=partial(self._make_room, device),
            holds=partial(self._holds, device),
            begin_peak=partial(begin_peak, device),
            peak=partial(peak_of, device),
            resident=partial(self._residency.resident, device=device),
            free=partial(self._residency.free, device),
        )

    def _make_room(self, device: str) -> None:
        self._residency.vacate(device)
        release_memory()

    def _holds(self, device: str) -> list[str]:
        found = self._residency.holdings(device)
        return [f"{one.what} ({shown_size(one.size)}{', in use' if one.used else ''})" for one in found]

    def _resident(self, values: Iterable[Any]) -> bool:
        wanted = [*values]
        return any(self._residency.resident(wanted, device) for device in self._devices)

    def _folder(self, planned: Plan, options: RunOptions) -> Folder:
        graph, subgraphs = planned.checked.graph, planned.checked.subgraphs

        @cache
        def text() -> str:
            return write(self_contained(graph, subgraphs)).decode()

        metadata = self.metadata if options.metadata is None else options.metadata
        judged = partial(self._judged, self._judge(), self.safety) if self.safety else None
        return Folder(options.output, text if metadata else None, planned.contents, judged)

    def _judge(self) -> PictureJudge:
        """The node library's judge of pictures.

        Raises:
            InputError: where no installed library has one.
        """
        found = next(filter(None, (one.trait(PictureJudge) for one in self.catalog.values())), None)
        if found is None:
            message = "the setting `safety` has every picture judged, and no installed node library can do that"
            raise InputError(message, "install one that can, or remove the setting", "no-judge")
        return found

    def _judged(self, judge: PictureJudge, demand: SafetyDemand, artifact: Artifact) -> Artifact:
        """What is given out of a picture, with the verdict."""

        def call(name: str, given: Mapping[str, Any]) -> Any:
            return self.run_now(self.catalog[name], given)

        data, verdict = judge.judge(artifact.data, artifact.media_type, demand, call)
        if artifact.verdict and artifact.verdict.held and not verdict.held:
            verdict = artifact.verdict  # the graph itself held it back, and what is judged here is what it put in place
        return replace(artifact, data=data, verdict=verdict)

    def _trace(self) -> dict[str, Any]:
        return {"device": self.resolved_device, **self._settings, **versions()}

    def run_now(self, type: NodeType, given: Mapping[str, Any]) -> Any:
        """Call a node type on real values, at once, with nothing kept.

        Raises:
            InputError: where a value is not of its input's type, or in a listener (`inside-listener`).
            ChangedFile: where somebody goes on writing a file that it reads.
            Cancelled: in a node whose run was asked to stop.
        """
        raise_if_in_listener("run a node")
        values = admitted(type, given, self.catalog)
        return _while_files_change(partial(self._call_now, type, values, cancelled_around() or never))

    def _call_now(self, type: NodeType, values: dict[str, Any], cancelled: Callable[[], bool]) -> Any:
        resources = {}
        for name, one in type.inputs.items():
            text = values.get(name, one.default)
            if one.resource is not None and isinstance(text, str):
                resources[text] = self._digests.of(one.resource.resolve(text, self.places()))
                self._headers.confirm(one.resource, resources[text], self.places())
                self._residency.sources.learn(resources[text])
                for notice in resources[text].resolved.notices:
                    give_notice(notice)
        self._digests.save()
        context = self._context(resources=resources, cancelled=cancelled, limits=self.limits)
        if cancelled():
            raise Cancelled("the run was cancelled")
        turn = self._lane.turn(context.look) if type.lane == "gpu" else nullcontext(self._lane)
        try:
            with running(self.run_now, cancelled), turn as lane:
                own = {type.context_name: replace(context, lane=lane)} if type.context_name else {}
                result = type.function(**values, **own)
            return _as_on_links(type, result)
        finally:
            for found in resources.values():
                self._digests.verify(found)


def _as_on_links(type: NodeType, result: Any) -> Any:
    """What a function returned, with tensors as they cross links; as it is where it is nothing that does."""
    try:
        outputs = [laid_out(item) for item in type.outputs_of(result).values()]
    except TypeError:
        return result
    return outputs[0] if type.result is None else type.result(*outputs)


def _while_files_change(attempt: Callable[[], T]) -> T:
    """The result of something that reads files, tried again where one was changed meanwhile."""
    for _ in range(PLANS - 1):
        with suppress(ChangedFile):
            return attempt()
    return attempt()


def _makes_files(planned: Plan) -> bool:
    """Whether a node that runs may give a file; what is cached may have been delivered before."""
    calls = planned.checked.calls
    sinks = {id for id in planned.checked.wanted if calls[id].type.sink}
    if planned.checked.pending:
        return bool(sinks)
    return any(step.call.id in sinks for step in planned.of("run", "undecided"))


_default: list[Engine] = []
_default_lock = threading.Lock()


def _run_now(type: NodeType, given: Mapping[str, Any]) -> Any:
    """Call a node type outside of any graph and run, in an engine that this process keeps for such calls."""
    with _default_lock:
        if not _default:
            _default.append(Engine(store=None))
    return _default[0].run_now(type, given)


register_default(_run_now)
