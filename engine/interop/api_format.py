"""ComfyUI's API format: a JSON object of nodes by id, each with its class and its inputs by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from weft.engine.errors import GraphError, Problem
from weft.engine.interop.foreign_graph import ForeignGraph, ForeignLink, ForeignNode
from weft.engine.types import shown

FAULTY = "foreign-graph"
"""The code of problems of the form of a foreign file."""


MAX_INPUTS = 1_000
"""Inputs of a node."""

MAX_NODES = 5_000
"""Nodes of a graph, those in subgraphs included."""


def is_api(tree: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a graph of this format."""
    return bool(tree) and any(isinstance(one, dict) and "class_type" in one for one in tree.values())


def read_api(tree: Mapping[str, Any]) -> ForeignGraph:
    """The graph of an object that `is_api`.

    Raises:
        GraphError: where it is too large.
    """
    count = sum(isinstance(one, dict) and isinstance(one.get("class_type"), str) for one in tree.values())
    if count > MAX_NODES:
        message = f"{count:,} nodes, more than {MAX_NODES:,}"
        raise GraphError([Problem(message, "split the graph", code="too-many-nodes")])
    faults: list[Problem] = []
    nodes = {str(id): node for id, one in tree.items() if (node := _node(str(id), one, faults)) is not None}
    return ForeignGraph(nodes, faults=tuple(faults))


def _node(id: str, tree: Any, faults: list[Problem]) -> ForeignNode | None:
    if not isinstance(tree, dict) or not isinstance(tree.get("class_type"), str):
        if not (isinstance(tree, dict) and id in ("extra_data", "client_id", "version", "extra")):
            message = f"expected an object with `class_type`, found {shown(tree)}"
            faults.append(Problem(message, "save the graph again in API format", id, code=FAULTY))
        return None
    given = tree.get("inputs", {})
    if not isinstance(given, dict):
        faults.append(Problem(f"`inputs` is {shown(given)}, expected an object", "", id, code=FAULTY))
        given = {}
    if len(given) > MAX_INPUTS:
        faults.append(Problem(f"{len(given):,} inputs, more than {MAX_INPUTS:,}", "", id, code=FAULTY))
        return None
    meta = tree.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else ""
    return ForeignNode(tree["class_type"], dict(_inputs(given)), title if isinstance(title, str) else "")


def _inputs(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, item in given.items():
        if isinstance(item, dict) and item.keys() == {"__value__"}:
            yield name, item["__value__"]
        elif _is_link(item):
            yield name, ForeignLink(str(item[0]), int(item[1]))
        else:
            yield name, item


def _is_link(item: Any) -> bool:
    """Whether an input is a link: a node's id and the index of an output."""
    return (
        isinstance(item, list)
        and len(item) == 2
        and isinstance(item[0], (str, int))
        and not isinstance(item[0], bool)
        and isinstance(item[1], int)
        and not isinstance(item[1], bool)
    )
