"""What the tests of the command line share: commands that run in this process, and a node library in a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from weft.engine.cli import call

NODES = '''"""Nodes that need nothing heavy."""

from io import BytesIO
from typing import Annotated

from weft.engine import Artifact, Range, node


@node(category="numbers", version=2)
def Add(a: int, b: Annotated[int, Range(0, 100)] = 1) -> int:
    """Add two numbers.

    Args:
        b: the second.
    """
    return a + b


@node(category="numbers")
def Divide(a: int, b: int) -> int:
    """Divide one number by another."""
    return a // b


@node
def Shout(text: str) -> str:
    """Say it louder."""
    return text.upper()


@node(category="picture")
def Dot(level: int, name: str = "dot") -> Artifact:
    """Paint one pixel."""
    from PIL import Image

    packed = BytesIO()
    Image.new("L", (1, 1), level).save(packed, "PNG")
    return Artifact(packed.getvalue(), "image/png", name)
'''

SUM = {
    "weft": 1,
    "title": "A dot as bright as a sum",
    "parameters": {"first": {"sets": ["sum.a"]}},
    "nodes": {
        "sum": {"type": "Add", "inputs": {"a": 2, "b": 3}},
        "dot": {"type": "Dot", "inputs": {"level": {"link": "sum"}}},
    },
    "outputs": {"total": {"link": "sum"}},
}
"""A graph with a sink, an output and a parameter."""


WITHOUT_NODES = {"store", "settings", "graphs", "devices", "--help", "--version"}
"""Commands that take no node types."""


@dataclass(frozen=True)
class Ended:
    """The exit code of a command, and its output."""

    code: int
    out: str
    err: str

    def lines(self) -> list[dict[str, Any]]:
        """Its output as JSON, an object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


Weft = Callable[..., Ended]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of commands: nodes.py, sum.json, a store of its own."""
    (tmp_path / "nodes.py").write_text(NODES)
    (tmp_path / "sum.json").write_text(json.dumps(SUM))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEFT_STORE", str(tmp_path / "store"))
    return tmp_path


@pytest.fixture
def weft(folder: Path, capfd: pytest.CaptureFixture[str]) -> Weft:
    """Run a command; one that takes nodes gets those of nodes.py."""

    def run(*arguments: str) -> Ended:
        nodes = () if arguments[0] in WITHOUT_NODES else ("--nodes", "nodes.py")
        code = call([*arguments, *nodes])
        return Ended(code, *capfd.readouterr())

    return run
