"""What a node type says of a node and those above it, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, cast

import pytest

from weft.engine import Engine, Graph, InputFile, Link, NodeProblem, NodeType, Upstream, node


@node
def Board(path: Annotated[str, InputFile()], width: int = 4) -> int:
    """A board of this width."""
    return width


@node
def Painted(board: int) -> int:
    """The same board."""
    return board


def _fits(saw: Upstream) -> Iterator[NodeProblem]:
    board = saw.above("board")
    while board and not board.source("path"):
        board = board.above("board")
    source = board and board.source("path")
    if board and source and board.literals["width"] > saw.literals["length"]:
        message = f"`{board.call.id}` ({source.root.name}) is too wide"
        yield NodeProblem("length", message, "take a longer saw")


@node(fits=_fits)
def Saw(board: int, *, length: int = 5) -> int:
    """Half a board."""
    return board // 2


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    (tmp_path / "oak.txt").write_text("oak")
    return Engine(store=None, inputs=[tmp_path])


def sawn(width: int) -> Graph:
    with Graph() as graph:
        graph.output("half", Saw(Painted(Board("oak.txt", width))))
    return graph


def test_both_ends_are_named_before_a_run(engine: Engine) -> None:
    (problem,) = engine.check(sawn(6)).problems
    assert (problem.node, problem.input, problem.hint) == ("saw", "length", "take a longer saw")
    assert problem.code == "refused-by-node-type" and "oak.txt" in problem.message
    assert engine.run(sawn(4)).outputs["half"] == 2


def test_what_links_do_not_lead_to_is_no_problem(engine: Engine) -> None:
    with Graph() as graph:
        graph.output("half", Saw(Painted(40)))
    assert not engine.check(graph).problems
    assert engine.run_now(cast(NodeType, Saw), {"board": 40}) == 20


def test_a_cycle_is_reported_and_not_followed(engine: Engine) -> None:
    circle = sawn(4).set("painted.board", Link("painted"))
    assert engine.check(circle).problems[0].code == "cycle"


def _fails(one: Upstream) -> Iterator[NodeProblem]:
    raise KeyError("nothing")


@node(fits=_fails)
def Broken() -> int:
    """A node whose check fails."""
    return 1


def test_a_check_that_fails_is_a_problem(engine: Engine) -> None:
    with Graph() as graph:
        graph.output("one", Broken())
    (problem,) = engine.check(graph).problems
    assert (problem.code, problem.node) == ("failed-check", "broken") and "KeyError" in problem.message
