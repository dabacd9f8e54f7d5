"""What the embedded model learns of a few pictures, as judges of its pictures see it.

`pytest -m slow tests/nodes/fine_tuning/test_what_is_learned.py`: about nine minutes of one core.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.training import KINDS, Figures, Options

ASKED = ("prompts of all", "prompts of the time")
"""How figures of edges end."""

pytestmark = pytest.mark.slow


def figures(kind: str, folder: Path) -> Figures:
    """What the benchmark finds with eight prompts."""
    run, steps = KINDS[kind]
    return run(Options(steps, 8, folder))


def test_a_style_is_learned_from_twenty_pictures_and_acts_by_its_strength(tmp_path: Path) -> None:
    found = figures("style", tmp_path)
    assert found["at 1"] > 0.75 * found["render at 1"]
    assert 0.25 < found["way at 0.5"] < 0.75
    assert found["change at 0"] == 0


def test_a_subject_is_learned_under_its_word_and_its_class_is_kept_by_pictures_of_it(tmp_path: Path) -> None:
    found = figures("subject", tmp_path)
    red, white = found["before, class"], found["render"]
    half = (red + white) / 2
    assert found["alone, word"] > half and found["with class pictures, word"] > half
    assert found["with class pictures, class"] < red + (white - red) / 4


def test_a_word_is_learned(tmp_path: Path) -> None:
    assert figures("word", tmp_path)["way"] > 0.75


def test_edges_of_pictures_that_were_not_seen_are_followed(tmp_path: Path) -> None:
    found = figures("edges", tmp_path)
    assert all(found[f"with, {asked}"] > found[f"without, {asked}"] + 0.2 for asked in ASKED)
