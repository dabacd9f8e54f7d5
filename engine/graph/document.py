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
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError, WithJsonSchema

from weft.engine.errors import GraphError, LiteralError, Problem, listed, nearest
from weft.engine.gc import paused_collection
from weft.engine.graph.graph import Given, Graph, Link, Node, Parameter, freeze
from weft.engine.graph.parsing import parse, place_of
from weft.engine.graph.parts import ID
from weft.engine.types import shown

VERSION = 1

Id = Annotated[str, WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_-]*$"})]
_LINK_HINT = 'write {"link": "NODE"} or {"link": "NODE.OUTPUT"}; an object that is a value: {"value": {...}}'


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)


class LinkModel(_Model):
    """A link to another node's output."""

    link: StrictStr


class NodeModel(_Model):
    """A node: its type and its inputs."""

    type: StrictStr
    inputs: dict[str, Any] = {}
    notes: StrictStr = ""


class ParameterModel(_Model):
    """An argument of the graph."""

    sets: list[StrictStr] = Field(min_length=1)
    type: StrictStr | None = None
    default: Any = None
    min: float | int | None = None
    max: float | int | None = None
    choices: list[Any] = []
    description: StrictStr = ""


class GraphModel(_Model):
    """A subgraph; a graph file is one with its format version."""

    title: StrictStr = ""
    description: StrictStr = ""
    notes: StrictStr = ""
    parameters: dict[Id, ParameterModel] = {}
    nodes: dict[Id, NodeModel]
    outputs: dict[Id, LinkModel] = {}
    graphs: dict[Id, GraphModel] = {}
    layout: dict[str, Any] = {}


class DocumentModel(GraphModel):
    """A graph file, version 1."""

    schema_: StrictStr = Field("", alias="$schema")
    weft: int


def load(path: Path, limit: int = 2**30) -> Graph:
    """Read a graph file.

    Args:
        path: the JSON file.
        limit: the greatest size that is read, in bytes.

    Raises:
        GraphError: where it cannot be read or is no graph at all.
    """
    try:
        if path.stat().st_size > limit:
            message = f"larger than {limit:,} bytes"
            raise GraphError([Problem(message, "raise WEFT_MAX_FILE_BYTES", file=str(path), code="unreadable-file")])
        content = path.read_bytes()
    except OSError as fault:
        hint = _neighbour(path) if isinstance(fault, FileNotFoundError) else ""
        message = f"cannot be read: {fault.strerror}"
        raise GraphError([Problem(message, hint, file=str(path), code="unreadable-file")]) from None
    return read(content, path)


def _neighbour(path: Path) -> str:
    siblings = path.parent.glob("*.json") if path.parent.is_dir() else ()
    return nearest(path.name, (one.name for one in siblings)) or "check the path"


@paused_collection()
def read(content: bytes | str, path: Path | None = None) -> Graph:
    """The graph that a JSON text describes; its `faults` are the problems of parts that were left out.

    Args:
        content: the text, UTF-8.
        path: the file it comes from: problems name it, and files that it names are looked up in its folder.

    Raises:
        GraphError: where the text is no graph at all.
    """
    faults: list[Problem] = []
    try:
        tree = parse(content, faults)
    except GraphError as fault:
        raise GraphError(problem.within(str(path or "")) for problem in fault.problems) from None
    return built(tree, path, faults)


def built(tree: Any, path: Path | None = None, faults: Sequence[Problem] = ()) -> Graph:
    """The graph that a parsed text describes.

    Args:
        tree: as `parse` gives it; it may be changed.
        path: the file it comes from.
        faults: that parsing found.

    Raises:
        GraphError: where it is no graph at all.
    """
    file = str(path) if path else ""
    found = [*faults]
    try:
        graph = _built(_document(tree, found), path, "", found)
    except GraphError as fault:
        raise GraphError(problem.within(file) for problem in (*found, *fault.problems)) from None
    return replace(graph, faults=tuple(problem.within(file) for problem in found))


def _document(tree: Any, faults: list[Problem]) -> DocumentModel:
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
    try:
        return DocumentModel.model_validate(tree)
    except ValidationError as fault:
        found = {_place(error): error for error in reversed(fault.errors(include_url=False))}
        faults += (_translate(place, error) for place, error in reversed(found.items()))
    for place, error in found.items():
        _set_aside(tree, place, error["type"])
    try:
        return DocumentModel.model_validate(tree)
    except ValidationError:  # for example without `nodes`: nothing is left to report on
        raise GraphError([]) from None


def _place(error: Any) -> tuple[str, ...]:
    """Where one of pydantic's errors is, without the branches of unions and elements of lists."""
    path = tuple(map(str, error["loc"]))
    return path[: _group(path) + 3]


def _group(path: Sequence[str]) -> int:
    """Where in a path the graph that it is in ends: `graphs, face, nodes, decode` -> 2."""
    start = 0
    while len(path) > start + 2 and path[start] == "graphs":
        start += 2
    return start


def _set_aside(tree: dict[str, Any], place: tuple[str, ...], kind: str) -> None:
    """Leave out what an error is about: an unknown key, else the whole member (a node, a parameter) that it is in."""
    start = _group(place)
    end = len(place) if kind == "extra_forbidden" else start + 2
    *above, last = place[:end]
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


def _translate(path: tuple[str, ...], error: Any) -> Problem:
    """One of pydantic's errors as a problem: where, what was found, what was expected."""
    kind, found = error["type"], error["input"]
    if kind == "extra_forbidden":
        known = _keys_at(path[:-1])
        hint = nearest(path[-1], known) or f"the keys here are: {listed(known)}"
        return Problem(f"unknown key `{path[-1]}`", hint, *place_of(path[:-1]), code="unknown-key")
    if kind == "missing":
        return Problem(f"the key `{path[-1]}` is missing", "add it", *place_of(path[:-1]), code="missing-key")
    expected = error["msg"].removeprefix("Input should be ")
    return Problem(f"expected {expected}, found {shown(found)}", "", *place_of(path), code="malformed-value")


def _keys_at(path: tuple[str, ...]) -> list[str]:
    """The keys that a document takes at a path."""
    model: type[BaseModel] = DocumentModel
    members: dict[str, type[BaseModel]] = {
        "nodes": NodeModel,
        "parameters": ParameterModel,
        "outputs": LinkModel,
        "graphs": GraphModel,
    }
    for group in path[::2]:
        model = members.get(group, model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _built(model: GraphModel, path: Path | None, scope: str, faults: list[Problem]) -> Graph:
    faults += _no_ids(model, scope)
    nodes = {
        id: Node(sys.intern(node.type), MappingProxyType(_inputs(node, f"{scope}{id}", faults)), node.notes)
        for id, node in model.nodes.items()
    }
    return Graph(
        title=model.title,
        nodes=MappingProxyType(nodes),
        parameters={name: _parameter(one) for name, one in model.parameters.items()},
        outputs={name: Link.parse(one.link) for name, one in model.outputs.items()},
        graphs={name: _built(one, path, f"{scope}{name}/", faults) for name, one in model.graphs.items()},
        description=model.description,
        notes=model.notes,
        layout=freeze(model.layout),
        path=path,
    )


def _no_ids(model: GraphModel, scope: str) -> Iterator[Problem]:
    for group in (model.nodes, model.parameters, model.outputs, model.graphs):
        for name in group:
            if not ID.match(name):
                hint = "use letters, digits, _ and -, a letter or _ first"
                yield Problem(f"`{name}` is no id", hint, scope + name, code="malformed-id")


def _inputs(model: NodeModel, node: str, faults: list[Problem]) -> dict[str, Given]:
    """A node's inputs; one that is neither literal nor link is a fault and left out."""
    inputs: dict[str, Given] = {}
    for name, item in model.inputs.items():
        try:
            inputs[name] = _given(item)
        except LiteralError as fault:
            faults.append(Problem.of(fault, node, name))
    return inputs


def _given(item: Any) -> Given:
    """An input as a graph holds it."""
    literal: Given
    if isinstance(item, list):
        return tuple(map(_given, item))
    if not isinstance(item, dict):
        literal = item
        return literal
    if item.keys() == {"link"} and isinstance(item["link"], str):
        return Link.parse(item["link"])
    if item.keys() == {"value"}:
        literal = freeze(item["value"])
        return literal
    raise LiteralError(f"found an object with the keys {listed(item) or 'none'}", _LINK_HINT, "malformed-input")


def _parameter(model: ParameterModel) -> Parameter:
    return Parameter(
        sets=tuple(model.sets),
        type=model.type,
        default=freeze(model.default),
        has_default="default" in model.model_fields_set,
        min=model.min,
        max=model.max,
        choices=tuple(map(freeze, model.choices)),
        description=model.description,
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
        "notes": graph.notes,
        "parameters": {name: _plain_parameter(one) for name, one in graph.parameters.items()},
        "nodes": {id: _plain_node(node) for id, node in graph.nodes.items()},
        "outputs": {name: {"link": str(link)} for name, link in graph.outputs.items()},
        "graphs": {name: plain(one) for name, one in graph.graphs.items()},
        "layout": _thaw(graph.layout),
    }
    return {name: part for name, part in parts.items() if part or name == "nodes"}


def _plain_node(node: Node) -> dict[str, Any]:
    inputs = {name: _plain_input(item) for name, item in node.inputs.items()}
    parts = {"type": node.type, "inputs": inputs, "notes": node.notes}
    return {name: part for name, part in parts.items() if part}


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
    if isinstance(item, Mapping):
        return {name: _thaw(element) for name, element in item.items()}
    if isinstance(item, tuple):
        return [_thaw(element) for element in item]
    return item
