"""What the command line never imports: torch and the model libraries, where nothing is to be computed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

GRAPH = Path(__file__).parents[3] / "graphs" / "text_to_image.json"
HEAVY = {"torch", "diffusers", "transformers", "networkx", "scipy"}
"""What nothing but a node's body may import."""

PROGRAM = """
import sys
from weft.engine.cli import call
code = call(sys.argv[1:])
print(" ".join(sys.modules))
sys.exit(code)
"""


def imported(folder: Path, *arguments: str) -> set[str]:
    """What is heavy of what a process imports that runs a command."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return HEAVY & set(ended.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("run", "--help"),
        ("check", str(GRAPH)),
        ("plan", str(GRAPH), "--store", "store"),
        ("graphs",),
        ("new", "text_to_image"),
        ("nodes",),
        ("nodes", "KSampler"),
        ("show", str(GRAPH)),
        ("show", str(GRAPH), "-o", "graph.svg"),
        ("schema",),
        ("models", "list"),
    ],
    ids=lambda arguments: " ".join(one.rpartition("/")[2] for one in arguments),
)
def test_commands_import_nothing_heavy(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert imported(tmp_path, *arguments) == set()


def test_a_run_served_from_the_store_imports_nothing_heavy(tmp_path: Path) -> None:
    run = ("run", str(GRAPH), "--store", "store", "--device", "cpu", "--set", "sampler.steps=1")
    assert "torch" in imported(tmp_path, *run)
    assert imported(tmp_path, *run) == set()


def test_the_command_line_itself_is_light() -> None:
    code = "import sys, weft.engine.cli; print(' '.join(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not (HEAVY | {"rich", "PIL", "numpy", "weft.nodes"}) & set(ended.stdout.split())
