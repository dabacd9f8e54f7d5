"""Lines about a training: not too many, with means and the time that is left."""

from __future__ import annotations

from itertools import count

import pytest

from weft.engine.cli.training_progress import TrainingProgress, shown_time
from weft.engine.events import NodeProgress


def lines(first: int, steps: int, seconds: float) -> list[str]:
    """What is shown of steps that take so many seconds each."""
    clock = count(0.0, seconds)
    progress = TrainingProgress(now=lambda: next(clock))
    events = (NodeProgress("trained", "TrainLoRA", step, steps, b"", {"loss": 2.0}) for step in range(first, steps + 1))
    return [line for event in events if (line := progress.line(event))]


def test_lines_come_now_and_then_and_at_the_end() -> None:
    shown = lines(1, 1000, 1.0)
    assert 20 < len(shown) < 100
    assert "step 1 of 1,000" in shown[0] and "left" not in shown[0]
    assert "loss 2 (mean 2)" in shown[1] and "16 min left" in shown[1]
    assert "step 1,000 of 1,000" in shown[-1] and "left" not in shown[-1]


def test_a_training_that_goes_on_says_so() -> None:
    assert "(" in lines(500, 600, 1.0)[0].partition(",")[0] and "step 500 of 600" in lines(500, 600, 1.0)[0]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (600, "10 min"), (12_000, "3 h 20 min")])
def test_times(seconds: float, text: str) -> None:
    assert shown_time(seconds) == text
