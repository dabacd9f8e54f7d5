"""`weft show`: trees and pictures, also of graphs with problems."""

from __future__ import annotations

import json
from pathlib import Path

from tests.engine.cli.conftest import Weft


def test_a_tree_is_printed(weft: Weft) -> None:
    assert weft("show", "sum.json", "--set", "first=8").out == (
        "A dot as bright as a sum\n"
        "  <first> sets sum.a\n"
        "\n"
        "dot  Dot\n"
        "└─ level: sum  Add  a=<first> 8  b=3\n"
        "output total\n"
        "└─ sum  (above)\n"
    )


def test_pictures_are_written(weft: Weft, folder: Path) -> None:
    for name, head in (("sum.svg", b"<svg"), ("sum.png", b"\x89PNG")):
        ended = weft("show", "sum.json", "-o", f"drawn/{name}")
        assert ended.out == f"drawn/{name}\n" and (folder / "drawn" / name).read_bytes().startswith(head)


def test_another_ending_is_refused(weft: Weft, folder: Path) -> None:
    ended = weft("show", "sum.json", "-o", "sum.gif")
    assert ended.code == 2 and ".svg" in ended.err and not (folder / "sum.gif").exists()


def test_a_graph_with_problems_is_shown_as_far_as_it_goes(weft: Weft, folder: Path) -> None:
    nodes = {"a": {"type": "What", "inputs": {"x": {"link": "gone"}, "y": {"odd": 1}}}}
    (folder / "bad.json").write_text(json.dumps({"weft": 1, "nodes": nodes}))
    ended = weft("show", "bad.json")
    assert ended.code == 0 and ended.out == "a  What\n" and "error: bad.json: a.y" in ended.err


def test_what_is_no_graph_is_not_shown(weft: Weft, folder: Path) -> None:
    (folder / "bad.json").write_text("{}")
    assert weft("show", "bad.json").code == 2


def test_a_path_that_cannot_be_written_is_refused(weft: Weft, folder: Path) -> None:
    (folder / "file").write_text("")
    for command in (("show", "sum.json", "-o", "file/sum.svg"), ("schema", "--write", "file")):
        ended = weft(*command)
        assert ended.code == 2 and "file" in ended.err and "Traceback" not in ended.err
