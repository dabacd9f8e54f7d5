"""Engine: what a program holds. Catalogue, store and weights live here and nowhere else.

    with Engine() as engine:
        result = engine.run(Graph.load("portrait.json"))

Each step of a run is one function from values to values: `check` -> `plan` -> `run` -> artifacts.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any

from weft.engine import events
from weft.engine.checking.checker import Checked, ancestors, check, deciding
from weft.engine.device import resolve_device, resolve_precision
from weft.engine.errors import GraphError, InputError
from weft.engine.graph.bundle import self_contained
from weft.engine.graph.document import write
from weft.engine.graph.graph import Graph, Link
from weft.engine.limits import Limits
from weft.engine.planning.last_run import MAX_NODES, history_key, memo, pack, unpack
from weft.engine.planning.planner import Plan, plan
from weft.engine.running.auditing import audit as audited
from weft.engine.running.delivery import Folder, versions
from weft.engine.running.executor import Outcome, Surroundings, run
from weft.engine.running.result import Result
from weft.engine.spec.call_arguments import swapped
from weft.engine.spec.catalog import Catalog, from_file, installed
from weft.engine.spec.context import Context
from weft.engine.spec.node import NodeType
from weft.engine.store import Damaged, Nowhere, Store
from weft.engine.store.disk import DiskStore
from weft.engine.store.memory import MemoryStore
from weft.engine.store.shared import stacked
from weft.engine.store.tiers import Tiers
from weft.engine.store.upkeep import keep_within
from weft.engine.submission import Submission
from weft.engine.types import LiteralError
from weft.engine.weights.residency import Residency
from weft.engine.weights.resources import FileDigests, HashedResource, SearchPaths


def store_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where results are kept unless a folder is named: `WEFT_STORE`, or the user's cache folder."""
    if "WEFT_STORE" in environment:
        return Path(environment["WEFT_STORE"]).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("weft") / "store"


@dataclass
class Engine:
    """Runs graphs; keeps results and weights between runs.

    Args:
        store: a folder, a store, or None for one that keeps nothing; by default the user's (`store_folder`).
        shared: the URL or folder of a store that machines share, behind the folder of `store`; by default that of
            `WEFT_SHARED_STORE`.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        precision: `auto`, `float32`, `float16`, `bfloat16`.
        models: folders in which models are looked up, before those of `WEFT_MODELS`.
        inputs: folders in which files named by graphs are looked up, after the graph's and the working one.
        output: the folder that artifacts are delivered to.
        nodes: Python files with node types of the user's own.
        metadata: whether delivered pictures carry their graph.
        download: whether a run may fetch models that are named by hub id.
        memory: bytes of results to keep in memory.
        weights: bytes of weights to keep on a device; None keeps all.
        report: is told what a run goes on without, such as a shared store that does not answer.
        guarded: digests what arrives at a node again after it ran, so that a node that changes its inputs is caught.
        history: whether what a graph was is remembered at each run, so that the next plan can say what changed since.
    """

    store: Path | str | Store | None = field(default_factory=store_folder)
    shared: str | None = field(default_factory=lambda: os.environ.get("WEFT_SHARED_STORE"))
    device: str = "auto"
    precision: str = "auto"
    models: Sequence[str | Path] = ()
    inputs: Sequence[str | Path] = ()
    output: str | Path = "output"
    nodes: Sequence[str | Path] = ()
    metadata: bool = True
    download: bool = False
    memory: int = 2**30
    weights: int | None = None
    report: Callable[[str], None] = warnings.warn
    guarded: bool = False
    history: bool = True
    limits: Limits = field(default_factory=Limits.from_environment)

    def __post_init__(self) -> None:
        self.catalog = _catalog(map(Path, self.nodes))
        self._store, self._digests = self._stores()
        self._device = resolve_device(self.device)
        self._settings = {"precision": resolve_precision(self.precision, self._device)}
        self._residency = Residency(budget=self.weights)
        self._context = partial(Context, self._device, self._settings["precision"], self._residency)

    def _stores(self) -> tuple[Store, FileDigests]:
        """The store, and the memory of file digests that lies beside one on disk."""
        if self.store is None:
            return Nowhere(), FileDigests()
        if isinstance(self.store, (str, Path)):
            folder = Path(self.store).expanduser()
            return stacked(folder, self.memory, self.shared, self.report), FileDigests(folder / "files.json")
        return self.store, FileDigests()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of weights; the store on disk stays."""
        self._residency.clear()

    def reload_nodes(self) -> None:
        """Read the user's node files again, after one of them has changed.

        Raises:
            CatalogError: where one cannot be loaded; the node types stay as they were.
        """
        self.catalog = _catalog(map(Path, self.nodes))

    def places(self, graph: Graph | None = None) -> SearchPaths:
        """Where files that a graph names are looked up."""
        given = os.environ.get("WEFT_MODELS", "")
        models = [*map(Path, self.models), *(Path(part) for part in given.split(os.pathsep) if part)]
        return SearchPaths(
            base=graph.path.parent if graph and graph.path else None,
            inputs=tuple(map(Path, self.inputs)),
            models=tuple(models),
            download=self.download,
            contents=graph.contents if graph else {},
        )

    def check(self, graph: Graph, only: Iterable[str] = ()) -> Checked:
        """Every static problem of a graph, in `.problems`; nothing is hashed or run."""
        return check(graph, self.catalog, self.places(graph), self.limits, only)

    def plan(self, graph: Graph, only: Iterable[str] = ()) -> Plan:
        """What `run` will do.

        Raises:
            GraphError: with every problem of the graph.
        """
        planned = self._planned(graph, tuple(only), {}, self._store)
        while planned.checked.pending and (values := {**_cached_values(planned), **self._instant_values(planned)}):
            planned = self._planned(graph, tuple(only), {**planned.checked.known, **values}, self._store)
        return planned

    def _instant_values(self, planned: Plan) -> dict[Link, Any]:
        """The values that decide what else a plan needs, where only instant nodes give them."""
        checked = deciding(planned.checked)
        outputs = {
            str(link): link
            for link in checked.outputs.values()
            if all(checked.calls[id].type.instant for id in ancestors(checked.calls, [link.node]))
        }
        if not outputs:
            return {}
        part = replace(checked, wanted=tuple({link.node: None for link in outputs.values()}), outputs=outputs)
        outcome = self._part(self._plan(part, Nowhere()), Outcome(), Nowhere(), events.ignore, lambda: False)
        return {outputs[name]: given for name, given in outcome.outputs.items()}

    def _planned(self, graph: Graph, only: tuple[str, ...], known: Mapping[Link, Any], store: Store) -> Plan:
        """The plan with what is known by now of the values that decide it."""
        checked = check(graph, self.catalog, self.places(graph), self.limits, only, known)
        if checked.problems:
            raise GraphError(checked.problems)
        return self._plan(checked, store)

    def run(
        self,
        graph: Graph,
        *,
        only: Iterable[str] = (),
        listener: events.Listener = events.ignore,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Result:
        """Run a graph.

        Raises:
            GraphError: with every problem of the graph.
            NodeError: for the first node that failed, after everything that could run has run.
        """
        result = self.execute(self.plan(graph, only), listener=listener, cancelled=cancelled)
        if result.failures:
            raise result.failures[0]
        return result

    def submit(self, graph: Graph, *, only: Iterable[str] = (), previews: bool = False) -> Submission:
        """Run a graph in a thread; gives its events as they come and its result when it is there.

        Graphs may be submitted while others run: they share results and weights.

        Args:
            previews: whether its `NodeProgress` events carry what is painted so far.
        """
        wanted = tuple(only)

        def work(listener: events.Listener, cancelled: Callable[[], bool]) -> Result:
            shown = events.Previewed(listener) if previews else listener
            return self.execute(self.plan(graph, wanted), listener=shown, cancelled=cancelled)

        return Submission(work)

    def execute(
        self,
        planned: Plan,
        *,
        listener: events.Listener = events.ignore,
        cancelled: Callable[[], bool] = lambda: False,
        audit: float = 0.0,
    ) -> Result:
        """Run a plan; failures of nodes are in the result rather than raised.

        A stored result that turns out damaged is dropped, reported and computed again.

        Args:
            audit: the share of hits, in 0..1, to compute again and compare, so that nodes show which are not
                deterministic.
        """
        started = time.perf_counter()
        counts = {state: len([*planned.of(state)]) for state in ("run", "cached", "undecided")}
        listener(events.RunStarted(**counts))
        outcome, planned = self._execute(planned, listener, cancelled)
        self._recollect(planned)
        if outcome.ran:
            self._keep_within()
        unstable = self._audited(planned, audit, listener) if audit and outcome.status == "done" else ()
        seconds = time.perf_counter() - started
        finished = events.RunFinished(outcome.status, len(outcome.ran), len(outcome.cached), round(seconds, 6))
        listener(finished)
        return Result(
            outcome.status,
            outcome.outputs,
            tuple(map(Path, outcome.paths)),
            tuple(outcome.failures),
            tuple(outcome.ran),
            tuple(outcome.cached),
            seconds,
            unstable,
        )

    def _plan(self, checked: Checked, store: Store) -> Plan:
        last = unpack(store.recall(history_key(checked.graph)) if self.history else None)
        return plan(checked, store, self._settings, self._digests, last)

    def _audited(self, planned: Plan, share: float, listener: events.Listener) -> tuple[str, ...]:
        """Compute hits again; the nodes that came to something else."""
        unstable = []
        for found in audited(planned, share, self._store, self._context):
            listener(found)
            unstable += [found.node] if found.differ else []
        return tuple(unstable)

    def _keep_within(self) -> None:
        """Keep the stores on disk below their size."""
        for store in self._store.stores if isinstance(self._store, Tiers) else (self._store,):
            if isinstance(store, DiskStore):
                keep_within(store, self.limits.max_store_bytes)

    def _recollect(self, planned: Plan) -> None:
        """Remember what ran, for the reasons of the next plan."""
        if self.history and len(planned.steps) <= MAX_NODES:
            memos = ((step.call.id, memo(step.call, step.found)) for step in planned.steps)
            self._store.remember(history_key(planned.checked.graph), pack(memos))

    def _execute(self, planned: Plan, listener: events.Listener, cancelled: Callable[[], bool]) -> tuple[Outcome, Plan]:
        """Run a plan, before it what decides what else is needed; gives the plan of the last part too."""
        checked, outcome, store = planned.checked, Outcome(), self._store
        if checked.pending and isinstance(store, Nowhere):
            store = MemoryStore(self.memory)
        for step in planned.of("cached") if checked.pending else ():
            outcome.cached.append(step.call.id)
            listener(events.NodeCached(step.call.id, step.call.type.name, step.tier))
        part = partial(self._part, store=store, listener=listener, cancelled=cancelled)
        while checked.pending:
            outcome = part(self._plan(deciding(checked), store), outcome)
            if outcome.status != "done":
                planned = self._plan(checked, store)
                break
            known = {link: outcome.outputs[str(link)] for link in deciding(checked).outputs.values()}
            planned = self._planned(checked.graph, checked.only, {**checked.known, **known}, store)
            checked = planned.checked
        return (outcome if outcome.status == "cancelled" else part(planned, outcome)), planned

    def _part(
        self,
        planned: Plan,
        before: Outcome,
        store: Store,
        listener: events.Listener,
        cancelled: Callable[[], bool],
    ) -> Outcome:
        """Run one plan, anew where what it took from the store turns out damaged."""
        while True:
            for step in planned.steps:
                for found in step.found.values():
                    self._residency.sources.learn(found)
            around = Surroundings(
                store=store,
                context=self._context,
                deliver=self._folder(planned),
                listener=listener,
                cancelled=cancelled,
                trace=self._trace,
                at_hand=self._at_hand if self.weights is not None else None,
                guarded=self.guarded,
            )
            try:
                return run(planned, around, before)
            except Damaged as damage:
                store.drop(damage.key)
                planned = self._plan(planned.checked, store)

    def _at_hand(self, values: Iterable[Any]) -> bool:
        return self._residency.at_hand(values, self._device)

    def _folder(self, planned: Plan) -> Folder:
        graph = planned.checked.graph

        @cache
        def text() -> str:
            return write(self_contained(graph, self.places(graph), self.limits)).decode()

        contents = {name: found.digest for step in planned.steps for name, found in step.found.items()}
        return Folder(Path(self.output), text if self.metadata else None, contents)

    def _trace(self) -> dict[str, Any]:
        return {"device": self._device, **self._settings, **versions()}

    def run_now(self, type: NodeType, given: Mapping[str, Any]) -> Any:
        """Call a node type on real values, at once, with nothing kept.

        Raises:
            InputError: where a value is not of its input's type.
        """
        values = {name: _admitted(type, name, given) for name in given}
        resources = {}
        for name, one in type.inputs.items():
            text = values.get(name, one.default)
            if one.resource is not None and isinstance(text, str):
                resolved = one.resource.resolve(text, self.places())
                resources[text] = HashedResource(resolved, self._digests.of(resolved))
                self._residency.sources.learn(resources[text])
        context = Context(self._device, self._settings["precision"], self._residency, resources)
        if type.context_name:
            values[type.context_name] = context
        return type.function(**values)


def _cached_values(planned: Plan) -> dict[Link, Any]:
    """The values in the store that decide what else a plan needs."""
    records = {step.call.id: step.record for step in planned.of("cached")}
    values = {}
    for link in deciding(planned.checked).outputs.values():
        record = records.get(link.node)
        if record and link not in planned.checked.known:
            with suppress(Damaged):
                values[link] = record.outputs[link.output or next(iter(record.outputs))].load()
    return values


def _admitted(type: NodeType, name: str, given: Mapping[str, Any]) -> Any:
    """The value of an input, where its type takes it."""
    wanted, item = type.inputs[name].type, given[name]
    if any(wanted.sockets()) and wanted.admits(item):
        return item
    try:
        return wanted.literal(item)
    except LiteralError as fault:
        other = swapped(type, given, name)
        hint = f"`{name}` and `{other}` have each other's values: swap them" if other else fault.hint
        raise InputError(f"{type.name}: `{name}`: {fault}", hint) from None


def _catalog(files: Iterable[Path]) -> Catalog:
    catalog = installed()
    for path in files:
        catalog = catalog.joined(from_file(path), str(path))
    return catalog


_default: list[Engine] = []


def run_now(type: NodeType, given: Mapping[str, Any]) -> Any:
    """Call a node type outside any graph, in an engine that this process keeps for such calls."""
    if not _default:
        _default.append(Engine(store=None))
    return _default[0].run_now(type, given)
