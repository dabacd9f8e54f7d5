"""Texts of files become numbers where numbers are wanted, and values that all items have are set once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.farm.conftest import Place
from tests.refusals import refused
from weft.engine import GraphError
from weft.engine.farm.merge.merged import JobPlan, planned

TABLE = "prompt;seed;scale\r\n007;1;7,5\r\n1.5;2;-1\r\nTRUE; 3 ;2.5\r\n"


def plan(place: Place, sweep: dict[str, Any], **parts: object) -> JobPlan:
    """The plan of a job over the light graph."""
    return planned(place.job(sweep, **parts), place.setup.engine())


def test_fields_of_a_table_are_read_as_the_types_of_their_inputs(place: Place) -> None:
    (place.folder / "a.csv").write_text(TABLE)
    targets = {"prompt": "prompt", "seed": "seed", "sample.scale": "scale"}
    sweep = {to: {"file": "a.csv", "column": column} for to, column in targets.items()}
    items = plan(place, sweep, zip=[[*targets]]).items
    assert [[*item.values.values()] for item in items] == [["007", 1, 7.5], ["1.5", 2, -1], ["TRUE", 3, 2.5]]


def test_lines_of_a_text_file_are_numbers_for_a_seed(place: Place) -> None:
    (place.folder / "seeds.txt").write_text("4\n5\n")
    assert [item.values["seed"] for item in plan(place, {"seed": {"file": "seeds.txt"}}).items] == [4, 5]


@pytest.mark.parametrize("text", ["", "x", "1.5", "1e999", "NaN", "1,5", "[1]"])
def test_a_text_that_spells_no_number_is_refused(text: str, place: Place) -> None:
    (place.folder / "a.csv").write_text(f'prompt,seed\na,1\nb,"{text}"\n')
    with pytest.raises(GraphError):
        plan(place, {"seed": {"file": "a.csv", "column": "seed"}})


def test_a_text_in_the_job_file_itself_stays_a_text(place: Place) -> None:
    with pytest.raises(GraphError):
        plan(place, {"seed": ["1"]})


def test_values_that_all_items_have_are_set_once(place: Place) -> None:
    sweep = {"prompt": ["a", "b"]}
    with_set = plan(place, sweep, set={"seed": 5, "sample.scale": 2.0})
    swept = plan(place, {**sweep, "seed": [5], "sample.scale": [2.0]})
    assert with_set.ids == swept.ids and [{*item.values} for item in with_set.items] == [{"prompt"}] * 2


@pytest.mark.parametrize(
    ("fixed", "code"),
    [({"sed": 1}, "unknown-target"), ({"nodes.seed": 1}, "unknown-target"), ({"prompt": "a"}, "set-twice")],
)
def test_what_sets_nothing_or_is_swept_over_too_is_refused(fixed: dict[str, object], code: str, place: Place) -> None:
    with refused(code):
        place.job({"prompt": ["a"]}, set=fixed)


def test_a_fixed_value_is_checked_as_any_other(place: Place) -> None:
    with pytest.raises(GraphError):
        plan(place, {"prompt": ["a"]}, set={"seed": "x"})
