"""What decides the result of a run, as its plan knows it: by it a later run that asks for the same is recognised."""

from __future__ import annotations

from dataclasses import astuple
from typing import NamedTuple

from weft.engine.keys import digest
from weft.engine.planning.planner import Plan
from weft.engine.spec.changing import ALWAYS
from weft.engine.verdict import SafetyDemand


class RunRecipe(NamedTuple):
    """What decides the result of a run.

    Args:
        key: of the recipe keys of what was wanted, by id; empty where equal runs may give another result.
        files: of the contents of all files that the graph names, models too.
    """

    key: str
    files: str


NOTHING = RunRecipe("", "")
"""That of a run which says nothing of later ones."""


def recipe_of(plan: Plan, demand: SafetyDemand | None) -> RunRecipe:
    """The recipe of a run.

    Nothing is known of a run with a node whose result is never used again, nor of one whose course is decided by values
    that it computes: what it reads and runs is not known before.

    Args:
        demand: what its pictures are judged by, which decides what is given out.
    """
    if plan.checked.pending or plan.checked.refused or any(step.call.state == ALWAYS for step in plan.steps):
        return NOTHING
    recipes = {step.call.id: step.recipe for step in plan.steps}
    judged = list(map(str, astuple(demand))) if demand else []
    key = digest([[[id, recipes[id]] for id in sorted(plan.checked.wanted)], judged])
    return RunRecipe(key, digest(sorted({found.digest for found in plan.resources})))
