"""Values that files give as texts, as the inputs take them: `7` of a table is a number where a seed is wanted."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from weft.engine.checking.parameters import read_text, takes_text, target_type
from weft.engine.farm.sweep.job import Axis, Job
from weft.engine.spec.catalog import Catalog
from weft.engine.types import Type

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+\Z")
_WORDS = {"TRUE": "true", "FALSE": "false"}
"""How spreadsheets spell what JSON spells otherwise."""


def with_typed_values(job: Job, catalog: Catalog) -> Job:
    """The job with the texts of its files read as the types of the inputs that they set.

    What does not spell such a value stays a text, which the checker refuses.
    """
    kinds = {target: target_type(job.graph, target, catalog) for target in job.texts}
    changing = {target: kind for target, kind in kinds.items() if kind is not None and not takes_text(kind)}
    return replace(job, axes=tuple(_typed(axis, changing) for axis in job.axes)) if changing else job


def _typed(axis: Axis, kinds: dict[str, Type]) -> Axis:
    if kinds.keys().isdisjoint(axis.targets):
        return axis
    columns = [kinds.get(target) for target in axis.targets]
    rows = (tuple(map(_value, row, columns)) for row in axis.rows)
    return replace(axis, rows=tuple(rows))


def _value(given: Any, kind: Type | None) -> Any:
    if kind is None or not isinstance(given, str):
        return given
    text = given.strip()
    if _DECIMAL_COMMA.match(text):
        text = text.replace(",", ".")
    return read_text(_WORDS.get(text, text), kind)
