"""The plan for a GPU: rows go on where they were cut; on a GPU, pictures are what the CPU's are.

Run with `pytest -m gpu` on a GPU. `pytest -m slow tests/gpu` tries the whole plan out on a pretended one, in minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gpu.figures import TRIES, Figure, Log, Measurement
from tests.gpu.plan import LIMITS, main, measure


def fails() -> Iterator[Figure]:
    yield Figure("before", 1.0)
    raise ValueError("no")


def test_measurements_are_made_once_and_one_that_fails_leaves_the_others(tmp_path: Path) -> None:
    log, made = tmp_path / "card.jsonl", []

    def counted() -> Iterator[Figure]:
        made.append(1)
        yield Figure("waits", 2, "", most=1)

    measurements = [Measurement("fails", fails), Measurement("counted", counted)]
    for _ in range(2):
        measure("part", measurements, Log([log]))
    found = Log([log])
    assert made == [1]
    assert [bool(row.failed) for row in found.rows.values()] == [True, False]
    assert found.rows["part", "counted"].figures[0].missed


def test_a_measurement_that_ends_its_process_is_not_tried_for_ever(tmp_path: Path) -> None:
    log = tmp_path / "card.jsonl"
    for _ in range(TRIES):
        assert Log([log]).is_left("part", "ends")
        Log([log]).begin("part", "ends")
    log.write_text(log.read_text() + '{"part": "part", "item": "cut in the mid')
    found = Log([log])
    assert not found.is_left("part", "ends")
    assert found.is_left("part", "other")
    assert "| ends | | cut |" in found.table()


def test_what_is_no_number_is_not_what_was_asked_for() -> None:
    assert [Figure("apart", value, most=1.0).missed for value in (0.5, 1.0, 2.0, float("nan"))] == [
        False,
        False,
        True,
        True,
    ]


def test_all_parts_take_25_minutes_and_each_less_than_nine() -> None:
    assert sum(LIMITS.values()) <= 25 * 60
    assert max(LIMITS.values()) <= 9 * 60


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--pretended"], ["--device", "cpu"]])
def test_the_whole_plan_can_be_made_without_a_gpu(tmp_path: Path, words: list[str]) -> None:
    main(["--tiny", *words, "--results", str(tmp_path), "--folder", str(tmp_path / "models")])
    (log,) = tmp_path.glob("*.jsonl")
    rows = Log([log]).rows.values()
    assert rows
    assert not [row.item for row in rows if row.failed]


@pytest.mark.gpu
def test_pictures_are_those_of_the_cpu(tmp_path: Path) -> None:
    from tests.gpu.card import Card, Place
    from tests.gpu.pictures import measurements

    log = Log([tmp_path / "card.jsonl"])
    measure("pictures", measurements(Place(Card("cuda:0"), tiny=False, folder=tmp_path)), log)
    assert not [row for row in log.rows.values() if row.failed or any(one.missed for one in row.figures)]
