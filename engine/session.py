"""Engine: what a program holds. Catalogue, store and weights live here and nowhere else.

    with Engine() as engine:
        result = engine.run(Graph.load("portrait.json"))

Each step of a run is one function from values to values: `check` -> `plan` -> `run` -> artifacts. An engine puts
together what does them: `Workspace` checks, `GraphPlanner` plans, `GraphRunner` runs, `DirectCalls` calls node types.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from weft.engine import events
from weft.engine.device import common_precision, resolve_devices, resolve_offload
from weft.engine.errors import InputError
from weft.engine.graph.graph import Graph
from weft.engine.graph_files import as_graph
from weft.engine.home import with_home
from weft.engine.one_or_many import one_or_many
from weft.engine.planning.graph_planner import GraphPlanner
from weft.engine.planning.planner import Plan
from weft.engine.planning.replan import PLANS
from weft.engine.running.demanded_judge import DemandedJudge
from weft.engine.running.direct_calls import DirectCalls
from weft.engine.running.emitter import raise_if_in_listener
from weft.engine.running.engine_devices import DeviceState, EngineDevices
from weft.engine.running.graph_runner import GraphRunner, RunOptions
from weft.engine.running.in_progress import InProgress
from weft.engine.running.joint_calls import JointCalls
from weft.engine.running.result import Result
from weft.engine.settings import MAX_SECONDS, TABLE, Settings, default
from weft.engine.spec.context import Context, never
from weft.engine.spec.node import NodeType
from weft.engine.store import NullStore, Store
from weft.engine.submission import Submission
from weft.engine.verdict import SafetyDemand
from weft.engine.weights.file_digests import FileDigests
from weft.engine.weights.header_check import HeaderCheck
from weft.engine.weights.machine_cores import spin_briefly
from weft.engine.weights.openmp_team import dismiss_team
from weft.engine.weights.recipes import Sources
from weft.engine.weights.residency import Residency
from weft.engine.workspace import Workspace


@dataclass
class Engine(Workspace):
    """Runs graphs; keeps results and weights between runs. What is not given is as the user's settings have it.

    Args:
        store: a folder, a store, or None for one that keeps nothing.
        shared: the URL or folder of a store that machines share, behind the folder of `store`.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`; several, `cuda:0,cuda:1`, share the nodes of a run, and node
            types that are called at once run on the first.
        precision: `auto`, `float32`, `float16`, `bfloat16`; `auto` on a GPU is by part, with bfloat16 or without
            (`auto-bfloat16`, `auto-float16`).
        output: the folder that artifacts are delivered to.
        metadata: whether delivered pictures carry their graph.
        memory: bytes of results to keep in memory.
        weights: bytes of weights to keep on a device; None is what it has, less `reserve`, and on the CPU all.
        reserve: bytes of a device that weights leave free for work; None is a gigabyte and a tenth of it.
        offload: what waits in the host's memory until it runs: `auto` (what the device has no room for), `none`,
            `model` (models, but the one that runs), `group` (also blocks) or `sequential` (also layers).
        preview_decoders: a folder of small decoders that draw previews of steps.
        node_timeout: seconds that one call of a node may take (`weft.engine.running.time_limit`); None without a limit.
        checkpoint_every: seconds after which a training keeps its state in the store.
        batch: how many items of runs at once are sampled together at most, where they wait for the device anyway: each
            as it is alone, but for rounding (`weft.engine.running.joint_calls`); 1 samples those of each run by
            themselves.
        report: gets a text about what a run does without, such as a shared store that does not answer.
        guarded: digests what arrives at a node again after it ran, so that a node that changes its inputs is caught.
        history: whether what a graph was is remembered at each run, so that the next plan can say what changed since.
        models, inputs, nodes, comfy_nodes, working, download, limits: what graphs are checked with (`Workspace`); by
            name only.
        safety: what every picture that is delivered is judged by, whatever the graph is; None where nobody demands it.
    """

    store: Path | str | Store | None = field(default_factory=default("store"))
    shared: str | None = field(default_factory=default("shared_store"))
    device: str = field(default_factory=default("device"))
    precision: str = field(default_factory=default("precision"))
    output: str | Path = field(default_factory=default("output"))
    metadata: bool = field(default_factory=default("metadata"))
    memory: int = field(default_factory=default("memory"))
    weights: int | None = field(default_factory=default("weights"))
    reserve: int | None = field(default_factory=default("reserve"))
    offload: str = field(default_factory=default("offload"))
    preview_decoders: str | Path | None = field(default_factory=default("preview_decoders"))
    node_timeout: float | None = field(default_factory=default("node_timeout"))
    checkpoint_every: float = field(default_factory=default("checkpoint_every"))
    batch: int = field(default_factory=default("batch"))
    report: Callable[[str], None] = warnings.warn
    guarded: bool = False
    history: bool = True
    safety: SafetyDemand | None = field(default_factory=default("safety_demand"))

    def __post_init__(self) -> None:
        if self.node_timeout is not None and not 0 < self.node_timeout <= MAX_SECONDS:
            message = f"`node_timeout` is {self.node_timeout}, expected seconds above 0"
            raise InputError(message, "leave it out for no limit", "malformed-setting")
        spin_briefly()  # first: what follows may import torch
        super().__post_init__()
        self._store, digests = self._stores()
        devices = resolve_devices(self.device)
        self._precision = common_precision(self.precision, devices)
        self._residency = Residency(Sources(digests.verify), self.weights, self.reserve, resolve_offload(self.offload))
        self._devices = EngineDevices(devices, self._residency, self.weights, self.reserve)
        decoders = self.preview_decoders
        self._context = partial(
            Context,
            device=self._devices.first,
            setting=self._precision,
            residency=self._residency,
            preview_decoders=None if decoders is None else with_home(decoders),
        )
        self._headers = HeaderCheck(digests)
        self._in_progress = InProgress()
        self._joint = JointCalls(self.catalog, self.batch)

    # Made for each call: they have the engine in them, which goes when nobody has it any more.

    @property
    def _planner(self) -> GraphPlanner:
        return GraphPlanner(
            self,
            self._store,
            self._headers.digests,
            {"precision": self._precision},
            self._devices.first,
            self._devices.rooms,
            instant=lambda planned: self._runner.outputs_of(planned),
            history=self.history,
            streaming=self._devices.streaming,
        )

    @property
    def _calls(self) -> DirectCalls:
        return DirectCalls(self, self._headers, self._devices, self._context)

    @property
    def _runner(self) -> GraphRunner:
        return GraphRunner(
            self._planner,
            self._devices,
            self._headers,
            self._context,
            self._calls,
            DemandedJudge(self.safety, self, self._calls) if self.safety else None,
            self._in_progress,
            self._joint,
            memory=self.memory,
            guarded=self.guarded,
            node_timeout=self.node_timeout,
            checkpoint_every=self.checkpoint_every,
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
        where = f"{self.resolved_device}, {self._precision}"
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
        return ",".join(self._devices.names)

    @property
    def resolved_precision(self) -> str:
        """In what nodes run: `float32`, `float16`, `bfloat16`; `auto-bfloat16` or `auto-float16` by part."""
        return self._precision

    def device_states(self) -> tuple[DeviceState, ...]:
        """The devices that nodes run on, with their memory and the weights that lie there now."""
        return self._devices.states()

    def close(self) -> None:
        """Evict weights that nothing uses; the store on disk stays."""
        self._residency.clear()

    def plan(self, graph: Graph | str | Path, only: Iterable[str] = (), *, memory: bool = False) -> Plan:
        """What `run` will do.

        Args:
            graph: a graph, or the path of a graph file or of a picture that carries its graph.
            memory: whether what no earlier plan has counted of the memory that steps need is counted now, by running
                them on shapes alone. The store keeps what is counted.

        Raises:
            GraphError: with every problem of the graph.
        """
        planned = self._planner.plan(as_graph(graph, self.limits.max_file_bytes, self.catalog), one_or_many(only))
        return self._runner.measured(planned) if memory else planned

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
        """Run a graph. Several threads may run graphs on one engine; each result is what it is alone (see `batch`).

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
        dismiss_team()

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
            Exception: what the listener raised, after the run has ended.
            Cancelled: in a node whose own run was cancelled meanwhile.
        """
        folder = Path(self.output if output is None else output)
        options = RunOptions(folder, self.metadata if metadata is None else metadata, listener, cancelled)
        return self._runner.execute(planned, options, audit, plans)

    def run_now(self, type: NodeType, given: Mapping[str, Any]) -> Any:
        """Call a node type on real values, at once, with nothing kept.

        Raises:
            InputError: where a value is not of its input's type, or in a listener (`inside-listener`).
            ChangedFile: where somebody goes on writing a file that it reads.
            Cancelled: in a node whose run was asked to stop.
        """
        return self._calls(type, given)


_default: list[Engine] = []
_default_lock = threading.Lock()


def run_now(type: NodeType, given: Mapping[str, Any]) -> Any:
    """Call a node type outside of any graph and run, in an engine that this process keeps for such calls."""
    with _default_lock:
        if not _default:
            _default.append(Engine(store=None))
    return _default[0].run_now(type, given)
