"""`weft check`: every problem of every graph, for people and as JSON."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.engine.cli.conftest import Weft

BAD = {"weft": 1, "nodes": {"s": {"type": "Ad"}, "t": {"type": "Add", "inputs": {"b": 101, "x": 1}}}}


def test_a_good_graph_is_ok(weft: Weft) -> None:
    ended = weft("check", "sum.json", "sum.json")
    assert (ended.code, ended.out, ended.err) == (0, "sum.json: ok\nsum.json: ok\n", "")


def test_every_problem_of_every_graph_is_reported(weft: Weft, folder: Path) -> None:
    (folder / "bad.json").write_text(json.dumps(BAD))
    ended = weft("check", "bad.json", "sum.json", "gone.json")
    assert ended.code == 2 and ended.out == "sum.json: ok\n"
    places = ["bad.json: s:", "bad.json: t.x:", "bad.json: t.a:", "bad.json: t.b:", "gone.json:"]
    assert all(f"error: {place}" in ended.err for place in places) and ended.err.endswith("5 problems\n")


def test_problems_as_json_lines(weft: Weft, folder: Path) -> None:
    (folder / "bad.json").write_text(json.dumps(BAD))
    *problems, last = weft("check", "bad.json", "--json").lines()
    assert last == {"event": "checked", "file": "bad.json", "problems": 4}
    first = problems[0]
    assert (first["event"], first["file"], first["node"], first["input"]) == ("problem", "bad.json", "s", "")
    assert first["code"] == "unknown-node-type"
    assert "`Ad`" in first["message"] and "`Add`" in first["hint"]
    assert [*first.values()].count(first["hint"]) == 2  # under its name of version 0.1 too
    assert first["made_at"] == ""  # no line of Python: it comes from a file


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check",), "GRAPH"),
        (("chekc", "sum.json"), "'check'"),
        (("check", "sum.json", "--jsno"), "--jsno"),
    ],
)
def test_a_wrong_call_is_refused(weft: Weft, arguments: tuple[str, ...], words: str) -> None:
    ended = weft(*arguments)
    assert ended.code == 2 and words in ended.err and "--help" in ended.err
    assert ended.out == "" and "Traceback" not in ended.err


def test_a_nodes_file_with_a_fault_is_refused(weft: Weft, folder: Path) -> None:
    (folder / "broken.py").write_text("def f(: pass")
    ended = weft("check", "sum.json", "--nodes", "broken.py")
    assert ended.code == 2 and "--nodes broken.py: SyntaxError" in ended.err and "Traceback" not in ended.err
    assert "Traceback" in weft("check", "sum.json", "--nodes", "broken.py", "--debug").err


def test_problems_of_stdin_name_it(weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(BAD).encode())))
    assert "error: -: t.x:" in weft("check", "-").err
