"""How many cases a fuzzer tries, and how it reports those that end badly.

A test has `@counts(10_000)`: the suite runs 300 cases of it, always the same; `pytest -m fuzz tests/fuzz` the whole
count, others each time.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from tests.fuzz.budget import Budgeted, Outcome

C = TypeVar("C")

IN_SUITE = 300
"""Cases of each fuzzer that the suite runs."""

SHORT = 100_000
"""Bytes that the suite's cases of large documents have at most."""


@dataclass(frozen=True, repr=False)
class _Unshown(Generic[C]):
    """A case without a text: hypothesis would spell each, megabytes of some."""

    case: C


def counts(whole: int) -> pytest.MarkDecorator:
    """Runs a test with `count` in the suite, and with the whole count under the marker `fuzz`."""
    return pytest.mark.parametrize("count", [IN_SUITE, pytest.param(whole, marks=pytest.mark.fuzz)])


def hold(cases: SearchStrategy[C], count: int, child: Budgeted[C], spoil: Path) -> None:
    """Hold that each case ends well: without an exception but a `WeftError`, in time, and nothing touched outside.

    All cases are tried; the message of the failure has the first of each kind, and its case lies in `spoil`.
    """
    bad: dict[str, list[tuple[C, Outcome]]] = defaultdict(list)

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=count == IN_SUITE,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(cases.map(_Unshown))
    def tried(one: _Unshown[C]) -> None:
        case = one.case
        outcome = child.outcome(case)
        if not outcome.good:
            bad[f"{outcome.kind} {outcome.detail.partition(' ')[0]} {outcome.detail[-80:]}"].append((case, outcome))

    tried()
    changed = child.changed_around()
    assert not changed, changed
    assert not bad, "\n".join(_report(number, found, spoil) for number, found in enumerate(bad.values()))


def _report(number: int, found: list[tuple[C, Outcome]], spoil: Path) -> str:
    case, outcome = min(found, key=lambda one: len(repr(one[0])))
    path = spoil / f"case_{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(case if isinstance(case, bytes) else repr(case).encode("utf-8", "backslashreplace"))
    return f"{len(found)} times: {outcome} ({path})"
