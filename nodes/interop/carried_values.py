"""The workflow of ComfyUI's that a picture carries, with the values that its graph has by now: an entry point.

A job gives each item values of its own, and `--set` changes some. Which place in a workflow a value of the graph comes
from is found by trying: a place with the old value is given the new one, and the workflow is read again. So nothing is
carried that would make another picture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from weft.engine.errors import GraphError
from weft.engine.graph.graph import Graph, Link
from weft.nodes.interop.comfyui import read_comfyui

WORKFLOWS = ("prompt", "workflow")
"""The names of workflows in a picture: in the API format, and as the editor has it."""

PLACES = 40
"""Places with one value that are tried."""

VALUES = 64
"""Values of a graph that may have changed."""

Path = tuple[str | int, ...]
"""The keys that lead to a place in JSON."""

Inputs = Mapping[str, Any]
"""The literals of a graph, by `node.input`."""


def own_values(graph: Graph, types: Mapping[str, object]) -> Mapping[str, str]:
    """The texts that pictures of a graph carry, with its values; without those that cannot say them.

    Args:
        types: the node types, those of the user's own classes among them.
    """
    wanted = literals_of(graph)
    if any(_literals(_parsed(graph.carries[name]), types) == wanted for name in WORKFLOWS if name in graph.carries):
        return graph.carries
    found = {}
    for name, text in graph.carries.items():
        own = _with_values(text, wanted, types) if name in WORKFLOWS else text
        if own is not None:
            found[name] = own
    return found


def _with_values(text: str, wanted: Inputs, types: Mapping[str, object]) -> str | None:
    """A workflow with the values of a graph that was made of it; None where it cannot be given them."""
    tree = _parsed(text)
    before = _literals(tree, types)
    if before is None or before.keys() != wanted.keys():
        return None
    changed = {target: (before[target], value) for target, value in wanted.items() if before[target] != value}
    if len(changed) > VALUES or not all(_is_value(one) for pair in changed.values() for one in pair):
        return None
    for target, (old, new) in changed.items():
        if not _give(tree, text, target, old, new, types):
            return None
    return json.dumps(tree) if _literals(tree, types) == wanted else None


def literals_of(graph: Graph) -> Inputs:
    """The literals of a graph's nodes, with what its parameters set; links are their text."""
    found = {f"{id}.{name}": one for id, node in graph.nodes.items() for name, one in node.inputs.items()}
    for parameter in graph.parameters.values():
        if parameter.has_default:
            found |= dict.fromkeys(parameter.sets, parameter.default)
    return {target: str(one) if isinstance(one, Link) else one for target, one in found.items()}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _literals(tree: Any, types: Mapping[str, object]) -> Inputs | None:
    """The literals of the graph that a workflow is read as; None where it is none, or not read whole."""
    try:
        graph = read_comfyui(tree, None, types) if isinstance(tree, dict) else None
    except GraphError:
        return None
    return literals_of(graph) if graph is not None and graph.nodes else None


def _is_value(given: object) -> bool:
    return isinstance(given, (bool, int, float, str))


_KNOWN: dict[tuple[int, str], tuple[Path, ...]] = {}
"""The places of a workflow, by its hash, that are given the value of an input."""


def _give(tree: Any, text: str, target: str, old: Any, new: Any, types: Mapping[str, object]) -> bool:
    """Give the new value of an input to its place in a workflow; whether there is one."""
    key = (hash(text), target)
    for path in _KNOWN.get(key, ()) or _places(_parsed(text), old):
        kept = _at(tree, path)
        _put(tree, path, new)
        now = _literals(tree, types) if key not in _KNOWN else {target: new}
        if now is not None and now.get(target) == new:
            if len(_KNOWN) > 4096:
                _KNOWN.clear()
            _KNOWN[key] = (path,)
            return True
        _put(tree, path, kept)
    return False


def _places(tree: Any, value: Any) -> list[Path]:
    """The places in a workflow's values that have a value, the first ones."""
    found: list[Path] = []
    stack: list[tuple[Path, Any]] = [((), tree)]
    while stack and len(found) < PLACES:
        path, one = stack.pop()
        if isinstance(one, dict):
            stack += [((*path, key), inner) for key, inner in reversed(one.items())]
        elif isinstance(one, list):
            stack += [((*path, index), inner) for index, inner in reversed([*enumerate(one)])]
        elif one == value and isinstance(one, bool) is isinstance(value, bool) and _is_given(path):
            found.append(path)
    return found


def _is_given(path: Sequence[str | int]) -> bool:
    """Whether a place is that of a value which a user gives: an input, or the value of a widget."""
    return any(key in ("inputs", "widgets_values") for key in path)


def _at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _put(tree: Any, path: Path, value: Any) -> None:
    _at(tree, path[:-1])[path[-1]] = value
