"""Checking and planning again as values become known that decide what else a graph needs.

A plan may be pending: a branch, or the length of a list, depends on a value that a node has yet to give. `replan` is
the one loop that goes from there to a plan in which nothing is pending. `GraphPlanner` feeds it with values that the
store has or instant nodes give; a run feeds it with values that it has computed. Where a file is changed while it is
read, all is done again (`while_files_change`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from weft.engine.checking.checker import Checked, ancestors, deciding
from weft.engine.errors import ChangedFile
from weft.engine.graph.graph import Link
from weft.engine.planning.planner import Plan
from weft.engine.store import CorruptRecord

T = TypeVar("T")

Values = Mapping[Link, Any]
"""Values of outputs by link."""

PLANS = 4
"""How often one thing is done, where files are changed each time while it reads them."""


def while_files_change(attempt: Callable[[], T]) -> T:
    """The result of something that reads files, tried again where one was changed meanwhile.

    Raises:
        ChangedFile: where files change each time.
    """
    for _ in range(PLANS - 1):
        with suppress(ChangedFile):
            return attempt()
    return attempt()


def replan(planned: Plan, decide: Callable[[Plan], Values], check: Callable[[Plan, Values], Plan]) -> Plan:
    """Plan again until nothing is pending, or no more values are to be had.

    Args:
        decide: gives values that a plan waits for; nothing ends the loop.
        check: checks and plans a plan's graph again, with all the values that are known by then.
    """
    while planned.checked.pending and (values := decide(planned)):
        planned = check(planned, {**planned.checked.known, **values})
    return planned


def decided(checked: Checked, outputs: Mapping[str, Any]) -> Values:
    """The values that a run of the deciding part of a graph gave, by link."""
    links = deciding(checked).outputs
    return {links[name]: item for name, item in outputs.items() if name in links}


def cached_values(planned: Plan) -> Values:
    """The values that a plan waits for and the store has."""
    records = {step.call.id: step.record for step in planned.of("cached")}
    values = {}
    for link in deciding(planned.checked).outputs.values():
        record = records.get(link.node)
        if record and link not in planned.checked.known:
            with suppress(CorruptRecord):  # the run finds the damage again and reports it
                values[link] = record.outputs[link.output or next(iter(record.outputs))].load()
    return values


def instant_part(checked: Checked) -> Checked | None:
    """The part of a graph that gives values which it waits for, from instant nodes alone; None where there is none."""
    part = deciding(checked)
    outputs = {name: link for name, link in part.outputs.items() if _is_instant(part, [link.node])}
    if not outputs:
        return None
    return replace(part, wanted=tuple({link.node: None for link in outputs.values()}), outputs=outputs)


def _is_instant(checked: Checked, nodes: Iterable[str]) -> bool:
    return all(checked.calls[id].type.instant for id in ancestors(checked.calls, nodes))
