"""Estimates of time: the constants of a node type's workloads, fitted to the calls that were timed before.

The time of a call is taken to be a sum of its amounts of work, each times a constant, and of one constant more for the
first call of a process, which imports libraries and loads weights. Fits go by relative errors, since a call of ten
milliseconds and one of a minute count alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

from weft.engine.keys import Digest, cost_key
from weft.engine.spec.call import Call
from weft.engine.spec.upstream import Upstream
from weft.engine.spec.workload import workload
from weft.engine.store import PaceNote, Store, Timing

MOST_TIMINGS = 16
"""Calls that are remembered of one kind of workload."""

GOOD = 0.05
"""The relative error of a fit that needs no constant more: with a constant for each call, all noise is fitted."""

ALIKE = 0.1
"""The relative difference up to which another call of one workload is not remembered again."""

WORTH_REMEMBERING = 0.01
"""Seconds below which a call is remembered only where no other of its kind is."""

_MADE: set[Digest] = set()
"""The keys of the calls that this process has made."""

_KNOWN: set[tuple[int, Digest]] = set()
"""Stores, by identity, and the keys under which they have something: short calls ask for it once in a process."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What the time of a call is estimated by.

    Args:
        key: under which a store has the times of calls of the same type, kind and device.
        loose: under which it has those of the same type and device, where none of that kind was made.
        amounts: of work.
        first: whether the process has made no such call before this one.
    """

    key: Digest
    loose: Digest
    amounts: tuple[float, ...]
    first: bool

    def started(self) -> Pace:
        """The pace of a call that begins now, by whether it is the first of this process."""
        first = self.key not in _MADE
        _MADE.add(self.key)
        return self if first is self.first else replace(self, first=first)

    def estimate(self, note: PaceNote | None) -> float | None:
        """The seconds that the call will take, by a store's note under one of its keys; None where there is none."""
        timings = tuple(one for one in note.timings if len(one.amounts) == len(self.amounts)) if note else ()
        return estimate(timings, self.amounts, self.first) if timings else None

    def remember(self, store: Store, seconds: float) -> None:
        """Keep how long the call took, unless as much is known already."""
        if seconds < WORTH_REMEMBERING and (id(store), self.key) in _KNOWN:
            return
        _KNOWN.add((id(store), self.key))
        timing = Timing(round(seconds, 6), self.first, self.amounts)
        known = store.recall(self.key, PaceNote)
        if known is None:
            store.remember(self.loose, PaceNote((timing,)))
        elif seconds < WORTH_REMEMBERING or any(_alike(timing, one) for one in known.timings):
            return
        kept = [one for one in known.timings if (one.first, one.amounts) != timing[1:]] if known else []
        store.remember(self.key, PaceNote((*kept[1 - MOST_TIMINGS :], timing)))


def pace_of(call: Call, calls: Mapping[str, Call], settings: Mapping[str, str], device: str) -> Pace:
    """The pace of a call.

    Args:
        calls: every call of the graph, by id.
        settings: the resolved engine settings, of which those count that the type of the call names.
    """
    work = workload(Upstream(call, calls))
    chosen = {name: settings[name] for name in call.type.settings}
    where = (call.type.identity, device.partition(":")[0], *sorted(chosen.items()))
    key = cost_key((*where, work.kind))
    return Pace(key, cost_key(where), work.amounts, key not in _MADE)


@lru_cache(maxsize=256)
def estimate(timings: tuple[Timing, ...], amounts: tuple[float, ...], first: bool) -> float:
    """The seconds of a call, by the times of others with as many amounts of work.

    Remembered, since the calls of the items of a job are alike.
    """
    columns = [*zip(*(one.amounts for one in timings), strict=True), [float(one.first) for one in timings]]
    rows = [[column[number] / max(one.seconds, 1e-6) for column in columns] for number, one in enumerate(timings)]
    best, least = _fit(rows, (0,)) or [0.0] * len(columns), math.inf
    for chosen in _choices(len(columns), len({one[1:] for one in timings})):
        constants = _fit(rows, chosen)
        if constants is None:
            continue
        error = math.sqrt(sum((1 - _dot(row, constants)) ** 2 for row in rows) / len(rows))
        if error < least - 1e-9:
            best, least = constants, error
        if least <= GOOD:
            break
    return _dot([*amounts, float(first)], best)


def _choices(count: int, most: int) -> Iterator[tuple[int, ...]]:
    """Which columns a fit may use: the first one always, few before many, never more than there are kinds of rows."""
    for more in range(min(count, most)):
        yield from ((0, *others) for others in combinations([count - 1, *range(1, count - 1)], more))


def _fit(rows: Sequence[Sequence[float]], chosen: Sequence[int]) -> list[float] | None:
    """Constants for some columns, zeros for the others, whose sums come nearest to 1; None where one is negative."""
    matrix = [[sum(row[i] * row[j] for row in rows) for j in chosen] + [sum(row[i] for row in rows)] for i in chosen]
    solution = _solved(matrix)
    if solution is None or min(solution) < 0:
        return None
    constants = [0.0] * len(rows[0])
    for column, constant in zip(chosen, solution, strict=True):
        constants[column] = constant
    return constants


def _solved(matrix: list[list[float]]) -> list[float] | None:
    """The solution of linear equations, each a row with its right side last; None where they have not just one."""
    size = len(matrix)
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(matrix[row][column]))
        if abs(matrix[pivot][column]) <= 1e-12 * max(abs(matrix[pivot][size]), 1e-300):
            return None
        matrix[column], matrix[pivot] = matrix[pivot], matrix[column]
        for row in range(size):
            if row != column:
                factor = matrix[row][column] / matrix[column][column]
                matrix[row] = [one - factor * other for one, other in zip(matrix[row], matrix[column], strict=True)]
    return [matrix[row][size] / matrix[row][row] for row in range(size)]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _alike(one: Timing, other: Timing) -> bool:
    return one[1:] == other[1:] and math.isclose(one.seconds, other.seconds, rel_tol=ALIKE)
