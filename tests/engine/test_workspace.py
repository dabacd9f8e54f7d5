"""A workspace checks graphs with the user's node types and folders, and imports nothing that plans, runs or stores."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from weft.engine import Graph
from weft.engine.workspace import Workspace

NODES = "from weft.engine import node\n\n@node()\ndef Shout(text: str) -> str:\n    return text.upper()\n"

GRAPH = (
    '{"weft": 1, "nodes": {"shout": {"type": "Shout", "inputs": {"text": 1}}}, "outputs": {"text": {"link": "shout"}}}'
)


def test_node_types_of_files_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "shout.py"
    file.write_text(NODES)
    workspace = Workspace(nodes=[file])
    graph = tmp_path / "graph.json"
    graph.write_text(GRAPH)
    assert [problem.code for problem in workspace.check(graph).problems] == ["wrong-type"]
    file.write_text(NODES.replace("text: str", "text: int"))
    workspace.reload_nodes()
    assert workspace.check(graph).problems == ()


def test_folders_of_a_graph_come_before_those_of_the_call(tmp_path: Path) -> None:
    graph = Graph(path=tmp_path / "graphs" / "graph.json")
    places = Workspace(inputs=[tmp_path]).places(graph)
    assert places.base == tmp_path / "graphs" and tmp_path in places.inputs


def test_a_folder_in_place_of_the_working_one_is_all_that_a_graph_without_a_file_may_read(tmp_path: Path) -> None:
    places = Workspace(working=tmp_path / "uploads").places(Graph())
    assert places.files == (tmp_path / "uploads",)


def test_it_imports_nothing_that_plans_runs_or_stores() -> None:
    code = "import sys, weft.engine.workspace; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = ("planning", "running", "store", "session", "farm")
    assert not [one for one in ended.stdout.split() if one.startswith(tuple(f"weft.engine.{room}" for room in rooms))]
