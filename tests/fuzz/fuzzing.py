"""How many cases a fuzzer tries, and how it reports those that end badly.

A test has `@counts(10_000)`: the suite runs 200 cases of it, always the same; `pytest -m fuzz tests/fuzz` the whole
count, others each time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom
from typing import TypeVar

import pytest

from tests.fuzz.budget import Budgeted, Outcome

C = TypeVar("C")

IN_SUITE = 200
"""Cases of each fuzzer that the suite runs."""

SHORT = 30_000
"""Bytes that the suite's cases of large documents have at most."""


Cases = Callable[[Random], C]
"""Makes a case of a source of chance: an equal one of an equal source."""


def counts(whole: int) -> pytest.MarkDecorator:
    """Runs a test with `count` in the suite, and with the whole count under the marker `fuzz`."""
    return pytest.mark.parametrize("count", [IN_SUITE, pytest.param(whole, marks=pytest.mark.fuzz)])


def hold(cases: Cases[C], count: int, child: Budgeted[C], spoil: Path) -> None:
    """Hold that each case ends well: without an exception but a `WeftError`, in time, and nothing touched outside.

    All cases are tried; the message of the failure has the first of each kind, and its case lies in `spoil`.
    """
    bad: dict[str, list[tuple[C, Outcome]]] = defaultdict(list)

    start = 0 if count == IN_SUITE else SystemRandom().getrandbits(64)
    for number in range(start, start + count):
        case = cases(Random(number))
        outcome = child.outcome(case)
        if not outcome.good:
            bad[f"{outcome.kind} {outcome.detail.partition(' ')[0]} {outcome.detail[-80:]}"].append((case, outcome))
    changed = child.changed_around()
    assert not changed, changed
    assert not bad, "\n".join(_report(number, found, spoil) for number, found in enumerate(bad.values()))


def _report(number: int, found: list[tuple[C, Outcome]], spoil: Path) -> str:
    case, outcome = min(found, key=lambda one: len(repr(one[0])))
    path = spoil / f"case_{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(case if isinstance(case, bytes) else repr(case).encode("utf-8", "backslashreplace"))
    return f"{len(found)} times: {outcome} ({path})"
