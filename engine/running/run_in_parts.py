"""A whole run: first the parts of a graph that decide what else it needs, then all the rest.

Each part is an ordinary plan for `weft.engine.running.executor`. A stored result that turns out damaged is dropped, and
the part is planned and run again. Where a file is changed while it is read, the whole graph is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from weft.engine import events
from weft.engine.checking.checker import deciding
from weft.engine.errors import ChangedFile
from weft.engine.planning.graph_planner import GraphPlanner
from weft.engine.planning.planner import Plan
from weft.engine.planning.replan import PLANS, Values, decided, replan
from weft.engine.running.executor import run
from weft.engine.running.partial_result import PartialResult
from weft.engine.running.run_environment import RunEnvironment
from weft.engine.store import CorruptRecord


@dataclass
class RunInParts:
    """One run of a plan.

    Args:
        environment: makes the environment of a plan, which may be the last; the store is the same for all parts.
        planner: plans graphs over the same store.
        plans: how often the graph may be planned, the plan that is run first included.
        result: the result so far.
    """

    environment: Callable[[Plan, bool], RunEnvironment]
    planner: GraphPlanner
    plans: int = PLANS
    result: PartialResult = field(default_factory=PartialResult)
    _final: bool = False

    def run(self, planned: Plan) -> Plan:
        """Run everything; gives the plan of the last part. `result` has the result.

        Raises:
            GraphError: where a file was changed, and the graph cannot run with what it is now.
            ChangedFile: where files are changed each time that the graph is planned.
        """
        for left in reversed(range(self.plans)):
            self._final = not left
            try:
                return self._run(planned)
            except ChangedFile:
                if self._final:
                    raise
                self.result = PartialResult()
                planned = self.planner.afresh(planned)
        raise AssertionError("the last plan is final")

    def _run(self, planned: Plan) -> Plan:
        if planned.checked.pending:
            self._report_cached(planned)
        planned = replan(planned, self._decide, self.planner.again)
        if planned.checked.pending:
            planned = self.planner.steps(planned.checked)
        if self.result.status != "cancelled":
            self.part(planned)
        return planned

    def part(self, planned: Plan) -> None:
        """Run one plan, and again where something that it took from the store turns out damaged."""
        before = self.result
        while True:
            environment = self.environment(planned, self._final)
            try:
                self.result = run(planned, environment, before)
                return
            except CorruptRecord as damage:
                environment.store.drop(damage.key)
                planned = self.planner.steps(planned.checked)

    def _decide(self, planned: Plan) -> Values:
        """Run the part that decides; nothing where it failed or was cancelled."""
        self.part(self.planner.steps(deciding(planned.checked)))
        return decided(planned.checked, self.result.outputs) if self.result.status == "done" else {}

    def _report_cached(self, planned: Plan) -> None:
        environment = self.environment(planned, self._final)
        for step in planned.of("cached"):
            self.result.cached.append(step.call.id)
            environment.emit(events.NodeCached(step.call.id, step.call.type.name, step.tier))
