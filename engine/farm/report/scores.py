"""The numbers of a job's items: outputs of its graph, such as scores, its settings, and the seconds that each took.

Items are ranked by one of them, and a table shows how they go with the settings of a sweep.
"""

from __future__ import annotations

import csv
import io
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from weft.engine.errors import InputError, nearest
from weft.engine.farm.work.publishing import listed
from weft.engine.show.plots import PlotLine, around, plot
from weft.engine.types import spelled

SECONDS = "seconds"
"""The name of the time of an item's attempt, which is short where results were in the store."""

Sidecar = Mapping[str, Any]


def items_of(folder: Path) -> list[dict[str, Any]]:
    """The sidecars of the published items of a job, in its order.

    Raises:
        InputError: where nothing is published.
    """
    found = [*listed(folder)]
    if not found:
        raise InputError(f"nothing is published in {folder}", "run the job first", "no-job")
    return found


def number_of(item: Sidecar, name: str) -> float | None:
    """A number of an item: an output of its graph, else a setting, else its seconds; None where it has none."""
    found = (numbers.get(name) for numbers in (_values(item), item.get("settings", {}), {SECONDS: item.get(SECONDS)}))
    return next((float(one) for one in found if _is_number(one)), None)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def ranked(
    items: Iterable[Sidecar],
    by: str,
    least: bool = False,
    above: float | None = None,
    below: float | None = None,
) -> list[tuple[float, Sidecar]]:
    """The items that have a number, with it, the greatest first.

    Args:
        by: the name of the number.
        least: the least first instead.
        above: leave out items whose number is less.
        below: leave out items whose number is greater.

    Raises:
        InputError: where no item has a number of this name.
    """
    items = [*items]
    numbered = [(number, item) for item in items if (number := number_of(item, by)) is not None]
    if not numbered:
        raise _unknown(by, items)
    kept = [
        (number, item)
        for number, item in numbered
        if (above is None or number >= above) and (below is None or number <= below)
    ]
    return sorted(kept, key=lambda one: one[0], reverse=not least)


_CONDITION = re.compile(r"(?P<name>.+?)\s*(?P<sign><=|>=|<|>|=)\s*(?P<number>[^<>=]+)")

_HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
}


def where(items: Iterable[Sidecar], conditions: Iterable[str]) -> list[Sidecar]:
    """The items whose numbers hold all conditions; an item without a number holds none about it.

    Args:
        conditions: each `NAME>=NUMBER`, with <, <=, >, >= or =.

    Raises:
        InputError: for a condition of another form, and for a number that no item has.
    """
    kept = [*items]
    for text in conditions:
        match = _CONDITION.fullmatch(text.strip())
        try:
            number = float(match["number"]) if match else math.nan
        except ValueError:
            number = math.nan
        if match is None or math.isnan(number):
            raise InputError(f"`{text}` is no condition", "write NAME>=NUMBER", "wrong-type")
        name, holds = match["name"], _HOLDS[match["sign"]]
        found = [(item, number_of(item, name)) for item in kept]
        if kept and all(one is None for _, one in found):
            raise _unknown(name, kept)
        kept = [item for item, one in found if one is not None and holds(one, number)]
    return kept


@dataclass(frozen=True)
class TableRow:
    """Items whose settings agree.

    Args:
        settings: in which they agree, those of the table.
        count: of items.
        means: of each number, by name; without those that none of them has.
    """

    settings: Mapping[str, Any]
    count: int
    means: Mapping[str, float]


def table(items: Sequence[Sidecar], by: Sequence[str], of: Sequence[str] = ()) -> list[TableRow]:
    """The means of numbers for each combination of some settings, in the order of the items.

    Args:
        by: the names of settings.
        of: the names of the numbers; the seconds and all outputs that are numbers where none is named.

    Raises:
        InputError: where no item has such a setting or number.
    """
    for name in by:
        if not any(name in item.get("settings", {}) for item in items):
            settings = dict.fromkeys(name for item in items for name in item.get("settings", {}))
            hint = nearest(name, settings) or f"the settings are: {', '.join(settings)}"
            raise InputError(f"no item has a setting `{name}`", hint, "unknown-number")
    numbers = [*of] or [SECONDS, *_outputs(items)]
    for name in of:
        if all(number_of(item, name) is None for item in items):
            raise _unknown(name, items)
    groups: dict[str, list[Sidecar]] = {}
    for item in items:
        groups.setdefault(spelled([item.get("settings", {}).get(name) for name in by]), []).append(item)
    return [_row(group, by, numbers) for group in groups.values()]


def _row(group: Sequence[Sidecar], by: Sequence[str], numbers: Sequence[str]) -> TableRow:
    found = {name: [number for item in group if (number := number_of(item, name)) is not None] for name in numbers}
    means = {name: sum(values) / len(values) for name, values in found.items() if values}
    return TableRow({name: group[0].get("settings", {}).get(name) for name in by}, len(group), means)


def as_csv(rows: Sequence[TableRow]) -> str:
    """A table as CSV: the settings, the count of items, the means."""
    names = dict.fromkeys(name for row in rows for name in row.means)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*rows[0].settings, "items", *names])
    for row in rows:
        writer.writerow([*row.settings.values(), row.count, *(row.means.get(name, "") for name in names)])
    return text.getvalue()


def as_plot(rows: Sequence[TableRow], of: str) -> bytes:
    """A PNG of a number over the first setting, a curve for each combination of the others.

    Raises:
        InputError: where the first setting is no number.
    """
    across, *others = rows[0].settings
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        x, y = row.settings[across], row.means.get(of)
        if not isinstance(x, (int, float)):
            message = f"`{across}` is {spelled(x)}, and a plot goes over numbers"
            raise InputError(message, "name a setting that is a number first", "wrong-type")
        if y is not None:
            curves.setdefault(", ".join(spelled(row.settings[name]) for name in others), []).append((x, y))
    points = [point for one in curves.values() for point in one]
    xs, ys = zip(*points, strict=True)
    drawn = [PlotLine(sorted(one), name.replace('"', "")) for name, one in curves.items()]
    packed = io.BytesIO()
    plot(drawn, around(across, xs), around(of, ys), marked=True).save(packed, "PNG")
    return packed.getvalue()


def _values(item: Sidecar) -> dict[str, Any]:
    """The outputs of an item that a sidecar holds as they are (`output_value.plain_output`)."""
    return {name: one["value"] for name, one in item.get("outputs", {}).items() if "value" in one}


def _outputs(items: Iterable[Sidecar]) -> list[str]:
    """The names of all outputs that are numbers."""
    return [*dict.fromkeys(name for item in items for name, value in _values(item).items() if _is_number(value))]


def _unknown(name: str, items: Sequence[Sidecar]) -> InputError:
    known = dict.fromkeys([*_outputs(items), *(one for item in items for one in item.get("settings", {})), SECONDS])
    hint = nearest(name, known) or f"there are: {', '.join(known)}"
    return InputError(f"no item has a number `{name}`", hint, "unknown-number")
