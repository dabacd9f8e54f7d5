"""Graphs as trees of text: every node once, its inputs below it."""

from __future__ import annotations

import json
from typing import Any

from weft.engine.graph.document import read
from weft.engine.show.draw import to_text
from weft.engine.show.draw.tree import MOST_LEVELS
from weft.engine.spec.catalog import Catalog


def text(nodes: dict[str, Any], **parts: Any) -> str:
    """The tree of a graph whose nodes are given as (type, inputs)."""
    spelled = {id: {"type": type, "inputs": inputs} for id, (type, inputs) in nodes.items()}
    return to_text(read(json.dumps({"weft": 1, "nodes": spelled, **parts})), Catalog())


def link(name: str) -> dict[str, str]:
    """A link."""
    return {"link": name}


def test_what_a_node_is_made_of_stands_below_it() -> None:
    nodes = {
        "model": ("Load", {"source": "a"}),
        "prompt": ("Encode", {"model": link("model.clip"), "text": "x" * 99}),
        "save": ("Save", {"prompt": link("prompt"), "model": link("model.unet")}),
    }
    assert text(nodes, title="A picture") == (
        "A picture\n\n"
        "save  Save\n"
        "├─ prompt: prompt  Encode  text=" + '"' + "x" * 56 + "...\n"
        '│  └─ model: model.clip  Load  source="a"\n'
        "└─ model: model.unet  (above)"
    )


def test_outputs_and_parameters_are_named() -> None:
    parts = {
        "parameters": {"size": {"sets": ["a.n"], "description": "How large"}},
        "outputs": {"all": link("a")},
    }
    expected = "  <size> sets a.n: How large\n\noutput all\n└─ a  T  n=<size>"
    assert text({"a": ("T", {})}, **parts) == expected


def test_subgraphs_have_trees_of_their_own() -> None:
    inner = {"title": "Inside", "nodes": {"b": {"type": "T"}}}
    assert text({"a": ("graph:part", {})}, graphs={"part": inner}) == "a  graph:part\n\ngraph:part: Inside\n\nb  T"


def test_a_circle_is_drawn_to_where_it_closes() -> None:
    nodes = {"a": ("T", {"x": link("b")}), "b": ("T", {"x": link("a")}), "c": ("T", {"x": link("c")})}
    assert text(nodes) == "a  T\n└─ x: b  T\n   └─ x: a  (above)\nc  T\n└─ x: c  (above)"


def test_a_deep_chain_is_cut() -> None:
    nodes = {f"n{n}": ("T", {"x": link(f"n{n - 1}")} if n else {}) for n in range(20_000)}
    lines = text(nodes).splitlines()
    assert len(lines) == MOST_LEVELS + 2 and lines[-2].endswith(" ...")
    assert lines[-1] == f"... and {20_000 - MOST_LEVELS - 1:,} more of 20,000 nodes"


def test_a_wide_graph_is_cut() -> None:
    lines = text({f"n{n}": ("T", {}) for n in range(501)}).splitlines()
    assert lines[-2:] == ["n499  T", "... and 1 more of 501 nodes"]
