"""`weft plan`: what a run would do, which is what it does."""

from __future__ import annotations

from pathlib import Path

from tests.engine.cli.conftest import Weft


def test_a_plan_says_what_will_run_and_runs_nothing(weft: Weft, folder: Path) -> None:
    ended = weft("plan", "sum.json")
    assert ended.code == 0 and ended.out.splitlines()[-1] == "2 to run"
    assert not (folder / "output").exists()


def test_a_plan_after_a_run_is_cached(weft: Weft) -> None:
    weft("run", "sum.json")
    assert {line["state"] for line in weft("plan", "sum.json", "--json").lines()} == {"cached"}


def test_a_plan_says_what_changed(weft: Weft) -> None:
    weft("run", "sum.json")
    steps = {line["node"]: line for line in weft("plan", "sum.json", "--set", "sum.b=4", "--json").lines()}
    assert steps["sum"]["state"] == "run" and "`b` 3 -> 4" in steps["sum"]["reason"]
    assert weft("plan", "sum.json", "--no-cache").out.splitlines()[-1] == "2 to run"


def test_a_bad_graph_has_no_plan(weft: Weft) -> None:
    ended = weft("plan", "sum.json", "--set", "dot.level=high", "--json")
    assert ended.code == 2 and ended.lines()[0]["event"] == "problem" and "error: sum.json: dot.level" in ended.err


MAPPED = """
{"weft": 1, "title": "Dots of a list", "nodes": {
  "source": {"type": "JoinLists", "inputs": {"first": [1, 500], "second": [7]}},
  "each": {"type": "map:dots", "inputs": {"level": {"link": "source"}}}},
 "graphs": {"dots": {"parameters": {"level": {"sets": ["sum.b"]}}, "nodes": {
  "sum": {"type": "Add", "inputs": {"a": 2}}, "dot": {"type": "Dot", "inputs": {"level": {"link": "sum"}}}}}}}
"""


def test_an_item_that_cannot_run_is_shown_and_fails_alone(weft: Weft, folder: Path) -> None:
    (folder / "mapped.json").write_text(MAPPED)
    ended = weft("plan", "mapped.json", "--json")
    states = {line["node"]: line["state"] for line in ended.lines()}
    assert ended.code == 1 and states["each/1/sum"] == states["each/1/dot"] == "refused"
    ran = weft("run", "mapped.json")
    assert ran.code == 1 and "each/1/sum" in ran.err and len([*(folder / "output").iterdir()]) == 2
