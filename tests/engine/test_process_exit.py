"""`os._exit` in a node fails that node; everywhere else it ends the process, as in what a node forks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from weft.engine import Engine, Graph, NodeError, node

NODES = """
import os
from weft.engine import node

@node
def Leave(status: int) -> int:
    os._exit(status)

@node
def Fork() -> int:
    child = os.fork()
    if not child:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

@node
def Fine() -> int:
    return 5
"""

NAMES = {"leave": "Leave", "fork": "Fork", "fine": "Fine"}

GRAPH = {
    "weft": 1,
    "nodes": {id: {"type": type, "inputs": {"status": 0} if id == "leave" else {}} for id, type in NAMES.items()},
    "outputs": {id: {"link": id} for id in NAMES},
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_node_that_ends_the_process_fails_and_the_other_branches_run(tmp_path: Path) -> None:
    (tmp_path / "n.py").write_text(NODES)
    (tmp_path / "g.json").write_text(json.dumps(GRAPH))
    words = ["-c", "from weft.engine.cli import main; main()", "run", "g.json", "--nodes", "n.py", "--no-cache"]
    ended = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and "leave (Leave)" in ended.stderr
    assert "fork = 7" in ended.stdout and "fine = 5" in ended.stdout


@node
def Leave() -> int:
    """Ends the process."""
    os._exit(0)


def test_it_is_an_error_of_the_node_in_python_too() -> None:
    with Graph() as graph:
        graph.output("left", Leave())
    with Engine(store=None) as engine, pytest.raises(NodeError) as caught:
        engine.run(graph)
    assert caught.value.node == "leave"


def test_outside_of_nodes_the_process_ends() -> None:
    code = "import os; from weft.engine.process_exit import node_code\nwith node_code(): pass\nos._exit(3)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 3
