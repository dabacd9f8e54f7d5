"""A program that runs graphs on a server: the same calls, values, files and errors as with an engine of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine.serve.conftest import READ, SLOW, SUM, Make, answering, make  # noqa: F401 - a fixture
from tests.refusals import refused
from weft.engine import Graph, GraphError, NodeError, events
from weft.engine.client import Remote
from weft.engine.graph.document import built
from weft.engine.serve.callers import Callers, add_token


@pytest.fixture
def url(make: Make) -> Iterator[str]:  # noqa: F811
    """The address of a server in a thread."""
    with answering(make()) as found:
        yield found


@pytest.fixture
def remote(url: str, tmp_path: Path) -> Iterator[Remote]:
    """Its engine."""
    with Remote(url, output=tmp_path / "got", patience=1.0) as made:
        yield made


def graph(plain: dict[str, object], **parameters: object) -> Graph:
    return built(plain).replace(parameters)


def test_a_graph_gives_there_what_it_gives_here(remote: Remote, tmp_path: Path) -> None:
    heard: list[events.Event] = []
    result = remote.run(graph(SUM, first=2), listener=heard.append)
    assert result.status == "done" and result.outputs == {"total": 5}
    assert [path.name for path in result.paths] == ["dot_0001.png"] and result.paths[0].parent == tmp_path / "got"
    assert result.paths[0].read_bytes()[:4] == b"\x89PNG"
    assert [type(one) for one in heard][:1] == [events.RunStarted] and isinstance(heard[-1], events.RunFinished)
    again = remote.run(graph(SUM, first=2))
    assert again.ran == () and again.paths == result.paths
    assert remote.call("sum", first=2).outputs == {"total": 5}


def test_errors_are_those_of_an_engine(remote: Remote) -> None:
    with pytest.raises(GraphError) as problems:
        remote.run(graph(SUM, first="x"))
    assert [one.code for one in problems.value.problems] == ["wrong-type"]
    divide = {
        "weft": 1,
        "nodes": {"d": {"type": "Divide", "inputs": {"a": 1, "b": 0}}},
        "outputs": {"x": {"link": "d"}},
    }
    with pytest.raises(NodeError) as failed:
        remote.run(graph(divide))
    assert failed.value.node == "d"
    assert [one.code for one in remote.check(graph(SUM, first="x")).problems] == ["wrong-type"]
    assert [one["state"] for one in remote.plan(graph(SLOW, steps=1)).steps] == ["run"]
    with refused("unreachable-server"):
        Remote("http://127.0.0.1:9", patience=0.0).run(graph(SUM, first=1))
    with refused("malformed-value", "ftp://x"):
        Remote("ftp://x")


def test_a_submission_gives_previews_and_is_cancelled(remote: Remote) -> None:
    submission = remote.submit(graph(SLOW, steps=5000), previews=True)
    shown = next(one for one in submission if isinstance(one, events.NodeProgress) and one.preview)
    assert shown.preview == b"a picture"
    submission.cancel()
    assert submission.result(20).status == "cancelled"


def test_files_that_a_graph_names_are_sent(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    named = replace(graph(READ, path="picture.png"), path=tmp_path / "here" / "graph.json")
    nodes = tmp_path / "nodes.py"
    remote.nodes = (nodes,)
    assert remote.run(named).outputs == {"byte": 0x89}


def test_a_token_is_sent_and_never_shown(make: Make, tmp_path: Path) -> None:  # noqa: F811
    token = add_token(tmp_path / "tokens.toml", "one", ["run"])
    assert token not in repr(Remote("http://127.0.0.1:1", token)) and Callers.load(tmp_path / "tokens.toml")
    with refused("malformed-value"):
        Remote("http://name:word@127.0.0.1:1")
