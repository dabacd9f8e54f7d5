"""Registers how notebooks show graphs, plans and results. `weft.engine.show.notebook` is imported when one is shown."""

from __future__ import annotations

from weft.engine.graph.graph import Graph
from weft.engine.mimebundle import Bundle, register_formatter
from weft.engine.planning.planner import Plan
from weft.engine.running.result import Result


def register() -> None:
    """Register the formatters."""
    register_formatter(Graph, _graph)
    register_formatter(Plan, _plan)
    register_formatter(Result, _result)


def _graph(graph: Graph) -> Bundle:
    from weft.engine.show.notebook import of_graph

    return of_graph(graph)


def _plan(plan: Plan) -> Bundle:
    from weft.engine.show.notebook import of_plan

    return of_plan(plan)


def _result(result: Result) -> Bundle:
    from weft.engine.show.notebook import of_result

    return of_result(result)
