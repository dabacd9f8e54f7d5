"""Warnings are printed by check, plan and run, which end well in spite of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.cli.conftest import Weft

NODES = '''"""A node whose file holds more than it reads."""

from typing import Annotated

from weft.engine import INJECTED, Context, InputFile, Notice, Resolved, SearchPaths, give_notice, node


class Numbers(InputFile):
    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        found = super().resolve(text, places)
        return Resolved(text, found.root, found.files, notices=(Notice("more in the header", "look", "more-header"),))


@node
def Total(path: Annotated[str, Numbers()], *, context: Context = INJECTED) -> int:
    """The first number of a file."""
    first, *others = context.found(path).resolved.root.read_text().split()
    if others:
        give_notice(Notice("more in the file", "look", "more-content"))
    return int(first)
'''

GRAPH = {
    "weft": 1,
    "nodes": {"total": {"type": "Total", "inputs": {"path": "numbers.txt"}}},
    "outputs": {"total": {"link": "total"}},
}


@pytest.fixture
def more(folder: Path) -> Path:
    """A folder with a graph whose file gives a warning at the check and one as its node runs."""
    (folder / "total.py").write_text(NODES)
    (folder / "total.json").write_text(json.dumps(GRAPH))
    (folder / "numbers.txt").write_text("3 4")
    return folder


def warned(lines: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(one["node"], one["input"], one["code"]) for one in lines if one.get("event") == "warning"]


def test_each_command_prints_warnings_and_ends_well(weft: Weft, more: Path) -> None:
    for command, count in (("check", 1), ("plan", 1), ("run", 2)):
        ended = weft(command, "total.json", "--nodes", "total.py")
        assert ended.code == 0 and ended.err.count("warning:") == count and "total.path" in ended.err


def test_warnings_are_json_lines(weft: Weft, more: Path) -> None:
    static = ("total", "path", "more-header")
    for command in ("check", "plan"):
        assert warned(weft(command, "total.json", "--nodes", "total.py", "--json").lines()) == [static]
    lines = weft("run", "total.json", "--nodes", "total.py", "--json").lines()
    assert warned(lines) == [static, ("total", "", "more-content")]
    # A result that comes from the store was loaded before: only what headers say is named again.
    assert warned(weft("run", "total.json", "--nodes", "total.py", "--json").lines()) == [static]
