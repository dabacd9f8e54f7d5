"""Graph files: JSON, format version 1, read into `Graph` values and written from them.

Faults that need no node types (unknown keys, malformed ids) are found here and in `weft.engine.graph.parsing`. A text
that is no graph at all raises. Any other fault is left out of the graph and kept in `Graph.faults`, so that
`weft.engine.checking.checker` reports all problems at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from weft.engine.errors import (
    MAX_PROBLEMS,
    GraphError,
    LiteralError,
    Problem,
    capped,
    few_suggestions,
    listed,
    nearest,
)
from weft.engine.gc import paused_collection
from weft.engine.graph.document_keys import KeyFault, key_faults
from weft.engine.graph.foreign import foreign_graph
from weft.engine.graph.graph import Given, Graph, Link, Node, Parameter, freeze
from weft.engine.graph.parsing import load_bytes, parse, place_of
from weft.engine.graph.parts import ID
from weft.engine.limits import Limits
from weft.engine.picture_text import CARRIES, ENDINGS, PARAMETERS, Carried, carried, of_others
from weft.engine.settings import resolve
from weft.engine.types import shown

VERSION = 1

MAX_KEYS = 200_000
"""How many keys the nodes, parameters, outputs and subgraphs of a file may have in all, inputs aside."""

MAX_NAME = 200
"""Characters of an id, of the name of an input and of a node type."""

MAX_LINK = 1000
"""Characters of a link, and of an input that a parameter sets."""

_LINK_HINT = 'write {"link": "NODE"} or {"link": "NODE.OUTPUT"}; an object that is a value: {"value": {...}}'


NO_TYPES: Mapping[str, object] = MappingProxyType({})


def load(path: Path, limit: int | None = None, types: Mapping[str, object] = NO_TYPES) -> Graph:
    """Read a graph file, or the graph that a picture carries.

    Args:
        path: the JSON file or the picture.
        limit: the greatest size that is read, in bytes; left out, the setting `limits.max_file_bytes`.
        types: the node types that classes of another program's graph may be, by name.

    Raises:
        GraphError: where it cannot be read or is no graph at all.
    """
    limit = resolve().limits.max_file_bytes if limit is None else limit
    contents: Mapping[str, str] = {}
    others: Mapping[str, str] = {}
    try:
        if path.suffix.lower() in ENDINGS and path.is_file():
            found = _carried(path, limit)
            content, contents, others = found.graph, found.contents, found.others
        else:
            content = load_bytes(path, limit)
    except GraphError as fault:
        raise GraphError(problem.within(str(path)) for problem in fault.problems) from None
    except OSError as fault:
        missing = isinstance(fault, FileNotFoundError)
        hint = (neighbour(path) or "check the path") if missing else "check the file and its permissions"
        message = f"cannot be read: {fault.strerror}"
        raise GraphError([Problem(message, hint, file=str(path), code="unreadable-file")]) from None
    graph = read(content, path, limit, types)
    return replace(graph, contents=contents, carries=others) if contents or others else graph


def _carried(path: Path, limit: int) -> Carried:
    """What a picture carries."""
    found = carried(path, limit)
    if found is None:
        hint = (
            "pictures of Weft (without --no-metadata), ComfyUI and A1111 carry theirs until another program or a site "
            "removes it"
        )
        raise GraphError([Problem("this picture carries no graph", hint, code="not-a-graph")])
    return found


def neighbour(path: Path) -> str:
    """The hint for a file that is not there: the nearest name of a graph file in its folder, if any is near."""
    siblings = path.parent.glob("*.json") if path.parent.is_dir() else ()
    return nearest(path.name, (one.name for one in siblings))


@paused_collection()
@few_suggestions()
def read(
    content: bytes | str,
    path: Path | None = None,
    limit: int | None = None,
    types: Mapping[str, object] = NO_TYPES,
) -> Graph:
    """The graph that a JSON text describes; its `faults` are the problems of parts that were left out.

    Args:
        content: the text, UTF-8.
        path: the file it comes from: problems name it, and files that it names are looked up in its folder.
        limit: the greatest size that is read, in bytes; left out, no less than the text has.
        types: the node types that classes of another program's graph may be, by name.

    Raises:
        GraphError: where the text is no graph at all.
    """
    faults: list[Problem] = []
    try:
        tree = parse(content, faults, max(len(content), Limits.max_file_bytes) if limit is None else limit)
    except GraphError as fault:
        raise GraphError(problem.within(str(path or "")) for problem in fault.problems) from None
    # Reading may change the tree, so what it is called is asked before.
    name = _foreign_name(tree)
    graph = built(tree, path, faults, types)
    return replace(graph, carries={name: _text(content)}) if graph.foreign and len(content) <= MAX_CARRIED else graph


MAX_CARRIED = 2**22
"""The size of the file of another program's graph that pictures carry, in bytes."""


def _foreign_name(tree: Any) -> str:
    """The name that pictures have for a graph of another program's."""
    if isinstance(tree, dict) and tree.keys() == {PARAMETERS}:
        return PARAMETERS
    return "workflow" if isinstance(tree, dict) and isinstance(tree.get("nodes"), list) else "prompt"


def _text(content: bytes | str) -> str:
    return content if isinstance(content, str) else content.decode(errors="replace")


def built(
    tree: Any, path: Path | None = None, faults: Sequence[Problem] = (), types: Mapping[str, object] = NO_TYPES
) -> Graph:
    """The graph that a parsed text describes, in Weft's format or in one that an installed library reads.

    Args:
        tree: as `parse` gives it; it may be changed.
        path: the file it comes from.
        faults: that parsing found.
        types: the node types that classes of another program's graph may be, by name.

    Raises:
        GraphError: where it is no graph at all.
    """
    file = str(path) if path else ""
    found = [*faults]
    try:
        foreign = foreign_graph(tree, path, types) if isinstance(tree, dict) and "weft" not in tree else None
        if isinstance(foreign, Graph):
            found += foreign.faults
            return replace(foreign, faults=tuple(problem.within(file) for problem in capped(found)))
        graph = _built(_document(tree, found), path, "", found)
        if any(problem.code == "name-too-long" for problem in found):
            raise GraphError([])  # inlining would copy the name with each node of a subgraph
    except GraphError as fault:
        raise GraphError(problem.within(file) for problem in capped([*found, *fault.problems])) from None
    return replace(graph, faults=tuple(problem.within(file) for problem in capped(found)))


def _document(tree: Any, faults: list[Problem]) -> dict[str, Any]:
    """The document's parts; malformed ones are left out, with a problem for each."""
    if not isinstance(tree, dict):
        message = f"no graph: found {shown(tree)}, expected an object"
        raise GraphError([Problem(message, "a graph file has `nodes`", code="not-a-graph")])
    if "weft" not in tree:
        raise GraphError([_foreign(tree)])
    if type(tree["weft"]) is not int or tree["weft"] != VERSION:
        message = f"format version {shown(tree['weft'])}, this Weft reads version {VERSION}"
        raise GraphError(
            [Problem(message, "upgrade Weft: pip install --upgrade weft-engine", code="unsupported-version")]
        )
    if (count := _keys(tree)) > MAX_KEYS:
        message = f"{count:,} keys of nodes, parameters, outputs and subgraphs, more than {MAX_KEYS:,}"
        raise GraphError([Problem(message, "split the graph", code="too-many-values")])
    found = [*key_faults(tree)]
    faults += capped(map(_translate, found))
    if len(found) > MAX_PROBLEMS:
        raise GraphError([])
    for fault in found:
        _set_aside(tree, fault)
    if found and any(key_faults(tree)):  # for example without `nodes`: nothing is left to report on
        raise GraphError([])
    return tree


def _keys(tree: Mapping[str, Any]) -> int:
    """How many keys are looked at: those of graphs and of their members, not those inside of inputs."""
    count = 0
    stack: list[Any] = [tree]
    while stack:
        graph = stack.pop()
        groups = [graph.get(name) for name in ("nodes", "parameters", "outputs", "graphs")]
        for group in (group for group in groups if isinstance(group, dict)):
            count += len(group) + sum(len(member) for member in group.values() if isinstance(member, (dict, list)))
        inner = graph.get("graphs")
        stack += (one for one in inner.values() if isinstance(one, dict)) if isinstance(inner, dict) else ()
        count += len(graph)
    return count


def _group(path: Sequence[str]) -> int:
    """Where in a path the graph that it is in ends: `graphs, face, nodes, decode` -> 2."""
    start = 0
    while len(path) > start + 2 and path[start] == "graphs":
        start += 2
    return start


def _set_aside(tree: dict[str, Any], fault: KeyFault) -> None:
    """Leave out what a fault is about: an unknown key, else the whole member (a node, a parameter) that it is in."""
    end = len(fault.place) if fault.code == "unknown-key" else _group(fault.place) + 2
    *above, last = fault.place[:end]
    for name in above:
        tree = tree.get(name, {})
    tree.pop(last, None)


def _foreign(tree: Mapping[str, Any]) -> Problem:
    """The problem of a JSON object that is no graph file: whether another program wrote it."""
    hint = f'a graph file begins {{"weft": {VERSION}, "nodes": {{...}}}}'
    nodes = tree.get("nodes")
    is_prompt = tree and all(isinstance(item, dict) and "class_type" in item for item in tree.values())
    if is_prompt or (isinstance(nodes, list) and "links" in tree):
        return Problem("a ComfyUI workflow, not a Weft graph", hint, code="foreign-graph")
    return Problem("no graph: the key `weft` (the format version) is missing", hint, code="not-a-graph")


def _translate(fault: KeyFault) -> Problem:
    """The fault of a key as a problem: where, what was found, what was expected."""
    *above, name = fault.place
    if fault.code == "unknown-key":
        hint = nearest(name, fault.known) or f"the keys here are: {listed(fault.known)}"
        return Problem(f"unknown key `{name}`", hint, *place_of(tuple(above)), code=fault.code)
    if fault.code == "missing-key":
        return Problem(f"the key `{name}` is missing", "add it", *place_of(tuple(above)), code=fault.code)
    message = f"expected {fault.expected}, found {shown(fault.found)}"
    return Problem(message, "", *place_of(fault.place), code=fault.code)


_LITERALS = frozenset({str, int, float, bool, type(None)})


def _built(tree: Mapping[str, Any], path: Path | None, scope: str, faults: list[Problem]) -> Graph:
    """The graph of a tree whose keys have no fault."""
    faults += capped(_malformed_names(tree, scope))
    nodes = {id: _node(node, f"{scope}{id}", faults) for id, node in tree["nodes"].items()}
    graphs = tree.get("graphs", {})
    return Graph(
        title=tree.get("title", ""),
        nodes=MappingProxyType(nodes),
        parameters={name: _parameter(one) for name, one in tree.get("parameters", {}).items()},
        outputs={name: Link.parse(one["link"]) for name, one in tree.get("outputs", {}).items()},
        graphs={name: _built(one, path, f"{scope}{name}/", faults) for name, one in graphs.items()},
        description=tree.get("description", ""),
        keywords=tuple(tree.get("keywords", ())),
        notes=tree.get("notes", ""),
        layout=freeze(tree.get("layout", {})),
        path=path,
        carries=of_others(tree.get(CARRIES)),
    )


def _node(tree: Mapping[str, Any], place: str, faults: list[Problem]) -> Node:
    inputs = _inputs(tree.get("inputs", {}), place, faults)
    return Node(sys.intern(tree["type"]), MappingProxyType(inputs), tree.get("notes", ""))


def _malformed_names(tree: Mapping[str, Any], scope: str) -> Iterator[Problem]:
    for group in ("nodes", "parameters", "outputs", "graphs"):
        for name in tree.get(group, ()):
            if len(name) > MAX_NAME:
                yield _too_long(name, "id", MAX_NAME, scope)
            elif not ID.match(name):
                hint = "use letters, digits, _ and -, a letter or _ first"
                yield Problem(f"`{name}` is no id", hint, scope + name, code="malformed-id")
    for node in tree["nodes"].values():
        if len(node["type"]) > MAX_NAME:
            yield _too_long(node["type"], "node type", MAX_NAME, scope)
        yield from (_too_long(name, "name", MAX_NAME, scope) for name in node.get("inputs", ()) if len(name) > MAX_NAME)
    for parameter in tree.get("parameters", {}).values():
        names = (*parameter["sets"], parameter.get("type") or "")
        yield from (_too_long(name, "name", MAX_LINK, scope) for name in names if len(name) > MAX_LINK)
    for output in tree.get("outputs", {}).values():
        if len(output["link"]) > MAX_LINK:
            yield _too_long(output["link"], "link", MAX_LINK, scope)


def _too_long(name: str, what: str, most: int, scope: str) -> Problem:
    message = f"the {what} `{name[:60]}...` has {len(name):,} characters, more than {most}"
    return Problem(message, "give a shorter one", scope.rstrip("/"), code="name-too-long")


def _inputs(given: Mapping[str, Any], node: str, faults: list[Problem]) -> dict[str, Given]:
    """A node's inputs; one that is neither literal nor link is a fault and left out."""
    inputs: dict[str, Given] = {}
    for name, item in given.items():
        try:
            inputs[name] = _given(item)
        except LiteralError as fault:
            faults.append(Problem.of(fault, node, name))
            if len(faults) > MAX_PROBLEMS:
                raise GraphError([]) from None
    return inputs


def _given(item: Any) -> Given:
    """An input as a graph holds it."""
    literal: Given
    if isinstance(item, list):
        return tuple([part if type(part) in _LITERALS else _given(part) for part in item])
    if not isinstance(item, dict):
        literal = item
        return literal
    if item.keys() == {"link"} and isinstance(item["link"], str):
        if len(item["link"]) > MAX_LINK:
            message = f"found a link of {len(item['link']):,} characters, more than {MAX_LINK}"
            raise LiteralError(message, _LINK_HINT, "name-too-long")
        return Link.parse(item["link"])
    if item.keys() == {"value"}:
        literal = freeze(item["value"])
        return literal
    raise LiteralError(f"found an object with the keys {listed(item) or 'none'}", _LINK_HINT, "malformed-input")


def _parameter(tree: Mapping[str, Any]) -> Parameter:
    return Parameter(
        sets=tuple(tree["sets"]),
        type=tree.get("type"),
        default=freeze(tree.get("default")),
        has_default="default" in tree,
        min=tree.get("min"),
        max=tree.get("max"),
        choices=tuple(map(freeze, tree.get("choices", ()))),
        description=tree.get("description", ""),
    )


def write(graph: Graph, schema: str | None = "../schema/graph.schema.json") -> bytes:
    """The graph as a graph file: JSON, indented, in a fixed order of keys.

    Raises:
        GraphError: where the graph was read with faults, so that nothing of its file is lost.
    """
    if graph.faults:
        raise GraphError(graph.faults)
    head = {"$schema": schema} if schema else {}
    return orjson.dumps(
        {**head, "weft": VERSION, **plain(graph)}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    )


def plain(graph: Graph) -> dict[str, Any]:
    """The graph as JSON values, without the format version."""
    parts = {
        "title": graph.title,
        "description": graph.description,
        "keywords": list(graph.keywords),
        "notes": graph.notes,
        "parameters": {name: _plain_parameter(one) for name, one in graph.parameters.items()},
        "nodes": {id: _plain_node(node) for id, node in graph.nodes.items()},
        "outputs": {name: {"link": str(link)} for name, link in graph.outputs.items()},
        "graphs": {name: plain(one) for name, one in graph.graphs.items()},
        "layout": _thaw(graph.layout),
    }
    if graph.carries:
        parts[CARRIES] = dict(graph.carries)
    return {name: part for name, part in parts.items() if part or name == "nodes"}


def _plain_node(node: Node) -> dict[str, Any]:
    inputs = {name: item if type(item) in _SCALARS else _plain_input(item) for name, item in node.inputs.items()}
    parts = {"type": node.type, "inputs": inputs, "notes": node.notes}
    return {name: part for name, part in parts.items() if part}


_SCALARS = frozenset({str, int, float, bool})


def _plain_input(item: Given) -> Any:
    if isinstance(item, Link):
        return {"link": str(item)}
    if isinstance(item, tuple):
        return [_plain_input(element) for element in item]
    if isinstance(item, Mapping):
        return {"value": _thaw(item)}
    return item


def _plain_parameter(one: Parameter) -> dict[str, Any]:
    parts: dict[str, Any] = {"sets": list(one.sets), "type": one.type}
    if one.has_default:
        parts["default"] = _thaw(one.default)
    parts |= {"min": one.min, "max": one.max, "choices": _thaw(one.choices), "description": one.description}
    return {name: part for name, part in parts.items() if name == "default" or part not in (None, "", [])}


def _thaw(item: Any) -> Any:
    if type(item) in _SCALARS or item is None:
        return item
    if isinstance(item, Mapping):
        return {name: _thaw(element) for name, element in item.items()}
    if isinstance(item, tuple):
        return [_thaw(element) for element in item]
    return item
