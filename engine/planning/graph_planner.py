"""Plans graphs as they and their files are now: what is checked, looked up in the store and decided before a run.

Where a value decides what else a graph needs, and the store has it or instant nodes give it, the graph is planned again
with it. Where a file changes meanwhile, all is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from weft.engine.checking.checker import Checked, check
from weft.engine.errors import GraphError
from weft.engine.graph.graph import Graph
from weft.engine.planning.last_run import MAX_NODES, history_key, pack, unpack
from weft.engine.planning.memory_needs import Room
from weft.engine.planning.planner import Plan, plan, raise_if_changed
from weft.engine.planning.replan import Values, cached_values, decided, instant_part, replan, while_files_change
from weft.engine.spec.catalog import Catalog
from weft.engine.store import HistoryNote, NullStore, Store
from weft.engine.weights.file_digests import FileDigests
from weft.engine.weights.streaming import Streaming
from weft.engine.workspace import Workspace


@dataclass(frozen=True)
class GraphPlanner:
    """Plans graphs over one store.

    Args:
        workspace: what they are checked with.
        store: where results are looked up.
        digests: hashes the files that they name.
        settings: those that keys may depend on.
        device: the first of those that nodes run on.
        rooms: what a run may use of the memory of each device.
        instant: runs a plan of instant nodes and gives its outputs.
        history: whether what a graph was at its last run says what changed since.
        streaming: which parts of networks are sent to a device as they run, whatever there is room for.
    """

    workspace: Workspace
    store: Store
    digests: FileDigests
    settings: Mapping[str, str]
    device: str
    rooms: Callable[[], Sequence[Room]]
    instant: Callable[[Plan], Mapping[str, Any]]
    history: bool = True
    streaming: Streaming = "none"

    def over(self, store: Store) -> GraphPlanner:
        """A planner over another store."""
        return self if store is self.store else replace(self, store=store)

    def plan(self, graph: Graph, only: tuple[str, ...] = (), catalog: Catalog | None = None) -> Plan:
        """The plan of a graph.

        Args:
            only: nodes to run instead of every sink and output.
            catalog: node types other than the workspace's.

        Raises:
            GraphError: with every problem of the graph.
        """

        def attempt() -> Plan:
            return replan(self.steps(self._checked(graph, only, catalog)), self._known_values, self.again)

        return while_files_change(attempt)

    def afresh(self, planned: Plan) -> Plan:
        """The plan of a plan's graph with its files as they are now."""
        return self.plan(planned.checked.graph, planned.checked.only, planned.checked.catalog)

    def again(self, planned: Plan, known: Values) -> Plan:
        """The plan of a plan's graph with what is known by now of the values that decide it."""
        before = planned.checked
        again = self.steps(self._checked(before.graph, before.only, before.catalog, known, before))
        raise_if_changed(planned, again)
        return again

    def steps(self, checked: Checked) -> Plan:
        """The plan of a checked graph as it stands, with what is undecided in it."""
        last = unpack(self.store.recall(history_key(checked.graph), HistoryNote) if self.history else None)
        return plan(checked, self.store, self.settings, self.digests, last, self.device, self.rooms, self.streaming)

    def remember(self, planned: Plan) -> None:
        """Remember what ran, for the reasons of the next plan."""
        if self.history and len(planned.steps) <= MAX_NODES:
            packed = pack((step.call, step.found) for step in planned.steps)
            self.store.remember(history_key(planned.checked.graph), packed)

    def _checked(
        self,
        graph: Graph,
        only: tuple[str, ...],
        catalog: Catalog | None,
        known: Values | None = None,
        before: Checked | None = None,
    ) -> Checked:
        space = self.workspace
        types, subgraphs = catalog or space.catalog, before.subgraphs if before else None
        checked = check(graph, types, space.places(graph), space.limits, only, known or {}, subgraphs)
        if checked.problems:
            raise GraphError(checked.problems)
        return checked

    def _known_values(self, planned: Plan) -> Values:
        """The values that decide what else a plan needs, where the store has them or instant nodes give them."""
        values = {**cached_values(planned)}
        part = instant_part(planned.checked)
        if part is not None:
            values |= decided(planned.checked, self.instant(self.over(NullStore()).steps(part)))
        return values
