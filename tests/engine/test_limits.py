"""Limits hold: what a graph asks for beyond one is refused, in little time and memory; what is below is checked so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.budget import Budgeted
from weft.engine import Engine, Graph, GraphError, Limits, Node
from weft.engine.error_codes import CODES
from weft.engine.errors import MAX_PROBLEMS


@pytest.mark.parametrize("count", [4, 5])
def test_a_graph_of_more_nodes_than_the_limit_is_refused(count: int) -> None:
    inner = Graph(nodes={f"n{n}": Node("Collect", {"items": (1,)}) for n in range(count)})
    graph = Graph(nodes={"all": Node("graph:inner")}, graphs={"inner": inner})
    codes = {problem.code for problem in Engine(store=None, limits=Limits(max_nodes=4)).check(graph).problems}
    assert ("too-many-nodes" in codes) is (count == 5) and codes <= CODES.keys()


def document(nodes: dict[str, Any], **parts: Any) -> bytes:
    return json.dumps({"weft": 1, "nodes": nodes, "outputs": {"o": {"link": next(iter(nodes))}}, **parts}).encode()


def integer(value: Any = 1) -> dict[str, Any]:
    return {"type": "Integer", "inputs": {"value": value}}


def link(text: str) -> dict[str, str]:
    return {"link": text}


INNER = {
    "parameters": {"v": {"sets": ["i.value"]}},
    "nodes": {"i": {"type": "Integer"}},
    "outputs": {"o": {"link": "i"}},
}

COUNTS = {f"c{n}": {"type": "Count", "inputs": {"items": link("m")}} for n in range(2000)}

PAINTED = {"type": "map:s", "inputs": {"v": [1] * 4000}}

LONG = {f"l{n}": {"nodes": {"n" * 190: {"type": f"graph:l{n + 1}"}}} for n in range(50)}

REFUSED: dict[str, tuple[bytes, str]] = {
    "links to nodes that are not there": (
        document({f"node_{n}": integer(link(f"nodx_{n}")) for n in range(2000)}),
        "unknown-node",
    ),
    "subgraphs that are not there": (
        document(
            {f"n{n}": {"type": f"graph:xpart_{n}"} for n in range(2000)},
            graphs={f"part_{n}": INNER for n in range(2000)},
        ),
        "unknown-subgraph",
    ),
    "node types that are not there": (
        document({f"n{n}": {"type": f"{'ab' * 30}{n}"} for n in range(4000)}),
        "unknown-node-type",
    ),
    "inputs that are not there": (
        document({"a": {"type": "KSampler", "inputs": {f"stepz{n}": 1 for n in range(50_000)}}}),
        "unknown-input",
    ),
    "keys that are not there": (document({"a": integer() | {f"inputz{n}": 1 for n in range(50_000)}}), "unknown-key"),
    "one list for many repeated subgraphs": (
        document(
            {f"m{n}": {"type": "map:s"} for n in range(500)},
            graphs={"s": INNER},
            parameters={"p": {"sets": [f"m{n}.v" for n in range(500)], "default": [1] * 10_000}},
        ),
        "too-many-values",
    ),
    "one list for many nodes": (
        document(
            {f"n{n}": {"type": "Count"} for n in range(2000)},
            parameters={"p": {"sets": [f"n{n}.items" for n in range(2000)], "default": ["a"] * 50_000}},
        ),
        "too-many-values",
    ),
    "a list in a subgraph that is used often": (
        document(
            {f"n{n}": {"type": "graph:s"} for n in range(3000)},
            graphs={"s": {"nodes": {"c": {"type": "Count", "inputs": {"items": [1] * 20_000}}}}},
        ),
        "too-many-values",
    ),
    "many nodes below a repeated subgraph": (document(COUNTS | {"m": PAINTED}, graphs={"s": INNER}), "too-many-values"),
    "repeated subgraphs in one another": (
        document(
            {"m": {"type": "map:t", "inputs": {"v": [1] * 300}}},
            graphs={
                "s": INNER,
                "t": {
                    "parameters": {"v": {"sets": ["i.value"]}},
                    "nodes": {"m": {"type": "map:s", "inputs": {"v": [1] * 300}}, "i": integer()},
                    "outputs": {"o": link("m")},
                },
            },
        ),
        "too-many-nodes",
    ),
    "subgraphs with many subgraphs": (
        document(
            {f"n{n}": {"type": "graph:s"} for n in range(3000)},
            graphs={"s": INNER | {"graphs": {f"g{n}": {"nodes": {}} for n in range(5000)}}},
        ),
        "missing-input",
    ),
    "many choices for many nodes": (
        document(
            {f"n{n}": {"type": "graph:s", "inputs": {"v": -1}} for n in range(3000)},
            graphs={"s": INNER | {"parameters": {"v": {"sets": ["i.value"], "choices": [*range(20_000)]}}}},
        ),
        "unknown-choice",
    ),
    "a long path": (document({"a": {"type": "graph:l0"}}, graphs=LONG | {"l50": INNER}), "too-many-levels"),
    "a long id": (document({"a" * 100_000: integer()}), "name-too-long"),
    "a long link": (document({"a": integer(link("a" * 100_000))}), "name-too-long"),
    "a long circle": (document({f"a{n}": integer(link(f"a{(n + 1) % 4000}")) for n in range(4000)}), "cycle"),
    "empty objects": (
        b'{"weft":1,"nodes":{"a":{"type":"A","inputs":{"v":{"value":[' + b"{}," * 3_000_000 + b"1]}}}}}",
        "too-many-values",
    ),
    "empty lists": (b'{"weft":1,"nodes":{},"layout":{"a":[' + b"[]," * 3_000_000 + b"1]}}", "too-many-values"),
    "numbers that are none": (
        b'{"weft":1,"nodes":{"a":{"type":"A","inputs":{' + b",".join(b'"v%d":NaN' % n for n in range(50_000)) + b"}}}}",
        "not-a-number",
    ),
    "keys twice": (
        b'{"weft":1,"nodes":{' + b",".join(b'"n%d":{"type":"A","type":"A"}' % n for n in range(50_000)) + b"}}",
        "duplicate-key",
    ),
    "nested lists": (b"[" * 1_000_000, "too-deep"),
    "a large file": (b'{"weft":1,"nodes":{},"notes":"' + b"a" * 10_000_000 + b'"}', "unreadable-file"),
}
"""By name: a file of a stranger, and the code of its first problem."""

VALID: dict[str, bytes] = {
    "a chain": document({"n0": integer(), **{f"n{n}": integer(link(f"n{n - 1}")) for n in range(1, 5000)}}),
    "texts": document({f"n{n}": {"type": "Text", "inputs": {"value": "a, {b} " * 280}} for n in range(4900)}),
    "parameters": document(
        {f"n{n}": integer() for n in range(5000)},
        parameters={f"p{n}": {"sets": [f"n{n}.value"], "default": n} for n in range(5000)},
    ),
    "subgraphs": document({f"n{n}": {"type": "graph:s", "inputs": {"v": n}} for n in range(4900)}, graphs={"s": INNER}),
    "a repeated subgraph": document(
        {"c": COUNTS["c0"], "m": {"type": "map:s", "inputs": {"v": [1] * 4900}}}, graphs={"s": INNER}
    ),
    "repeated subgraphs in a row": document(
        {f"m{n}": {"type": "map:s", "inputs": {"v": link(f"m{n + 1}")}} for n in range(2000)}
        | {"m2000": {"type": "map:s", "inputs": {"v": [1]}}},
        graphs={"s": INNER},
    ),
}
"""Graphs of 5,000 nodes or 10 MB at most."""


@cache
def _engine() -> Engine:
    return Engine(store=None, device="cpu")


def codes_of(case: tuple[bytes, str], folder: Path) -> None:
    """Hold that the first problem of a file has a code, and that problems are few enough to be read."""
    text, code = case
    (folder / "graph.json").write_bytes(text)
    try:
        problems = _engine().check(folder / "graph.json").problems
    except GraphError as fault:
        problems = fault.problems
    assert [problem.code for problem in problems[:1]] == ([code] if code else []), problems[:1]
    assert len(problems) <= MAX_PROBLEMS + 1 and len("".join(map(str, problems))) < 2**20


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Budgeted[tuple[bytes, str]]]:
    folder = tmp_path_factory.mktemp("limits") / "inside"
    folder.mkdir()
    first = document({"a": integer()})
    with Budgeted(codes_of, folder, (first, ""), seconds=2, memory=300 * 2**20) as made:
        yield made


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_beyond_the_limits_is_refused_within_2_seconds(name: str, child: Budgeted[tuple[bytes, str]]) -> None:
    outcome = child.outcome(REFUSED[name])
    assert outcome.kind == "done", outcome


@pytest.mark.parametrize("name", VALID)
def test_what_is_below_the_limits_is_checked_within_2_seconds(name: str, child: Budgeted[tuple[bytes, str]]) -> None:
    outcome = child.outcome((VALID[name], ""))
    assert outcome.kind == "done", outcome
