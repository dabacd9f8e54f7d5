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
    said = weft("check", "sum.json", "sum.json")
    assert (said.code, said.out, said.err) == (0, "sum.json: ok\nsum.json: ok\n", "")


def test_every_problem_of_every_graph_is_told(weft: Weft, folder: Path) -> None:
    (folder / "bad.json").write_text(json.dumps(BAD))
    said = weft("check", "bad.json", "sum.json", "gone.json")
    assert said.code == 2 and said.out == "sum.json: ok\n"
    places = ["bad.json: s:", "bad.json: t.x:", "bad.json: t.a:", "bad.json: t.b:", "gone.json:"]
    assert all(f"error: {place}" in said.err for place in places) and said.err.endswith("5 problems\n")


def test_problems_as_json_lines(weft: Weft, folder: Path) -> None:
    (folder / "bad.json").write_text(json.dumps(BAD))
    *problems, last = weft("check", "bad.json", "--json").lines()
    assert last == {"event": "checked", "file": "bad.json", "problems": 4}
    first = problems[0]
    assert (first["event"], first["file"], first["node"], first["input"]) == ("problem", "bad.json", "s", "")
    assert first["code"] == "unknown-node-type"
    assert "`Ad`" in first["message"] and "`Add`" in first["hint"]
    assert first["mend"] == first["hint"]  # the name of `hint` before 0.2
    assert first["made_at"] == ""  # no line of Python: it comes from a file


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check",), "Missing argument 'GRAPH...'"),
        (("chekc", "sum.json"), "Did you mean 'check'?"),
        (("check", "sum.json", "--jsno"), "--jsno"),
    ],
)
def test_a_wrong_call_is_refused(weft: Weft, arguments: tuple[str, ...], words: str) -> None:
    said = weft(*arguments)
    assert said.code == 2 and words in said.err and "--help" in said.err
    assert said.out == "" and "Traceback" not in said.err


def test_a_nodes_file_with_a_fault_is_refused(weft: Weft, folder: Path) -> None:
    (folder / "broken.py").write_text("def f(: pass")
    said = weft("check", "sum.json", "--nodes", "broken.py")
    assert said.code == 2 and "--nodes broken.py: SyntaxError" in said.err and "Traceback" not in said.err
    assert "Traceback" in weft("check", "sum.json", "--nodes", "broken.py", "--debug").err


def test_problems_of_stdin_name_it(weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(BAD).encode())))
    assert "error: -: t.x: Add has no input `x`" in weft("check", "-").err
