"""Graph files: JSON, format version 1, read into `Graph` values and written from them.

Everything that a file may get wrong by itself is found here, all at once: syntax, duplicate keys, numbers that JSON or
floats cannot hold, unknown keys, ids. What needs node types is found by `weft.engine.check`.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from weft.engine.errors import GraphError, Problem, listed, nearest
from weft.engine.graph import ID, Graph, Link, Node, Parameter, freeze
from weft.engine.types import NoNumber, shown

VERSION = 1
MAX_DEPTH = 200
"""How deep a graph file may nest objects and lists."""

Id = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
_LINK_MEND = 'write {"link": "NODE"} or {"link": "NODE.OUTPUT"}; an object that is a value: {"value": {...}}'


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
        GraphError: with every problem of the document, or because it cannot be read.
    """
    try:
        if path.stat().st_size > limit:
            raise GraphError([Problem(f"larger than {limit:,} bytes", "raise WEFT_MAX_FILE_BYTES", file=str(path))])
        content = path.read_bytes()
    except OSError as fault:
        mend = _neighbour(path) if isinstance(fault, FileNotFoundError) else ""
        raise GraphError([Problem(f"cannot be read: {fault.strerror}", mend, file=str(path))]) from None
    return read(content, path)


def _neighbour(path: Path) -> str:
    siblings = path.parent.glob("*.json") if path.parent.is_dir() else ()
    return nearest(path.name, (one.name for one in siblings)) or "check the path"


def read(content: bytes | str, path: Path | None = None) -> Graph:
    """The graph that a JSON text says.

    Args:
        content: the text, UTF-8.
        path: the file it comes from: problems name it, and files it names are looked up beside it.

    Raises:
        GraphError: with every problem of the document.
    """
    file = str(path) if path else ""
    try:
        return _graph(_document(_parse(content)), path)
    except GraphError as fault:
        raise GraphError(problem.within(file) for problem in fault.problems) from None


class _Duplicated(dict[str, Any]):
    """An object whose text gave some keys more than once."""

    keys_twice: tuple[str, ...] = ()


def _parse(content: bytes | str) -> Any:
    """JSON to plain values; numbers that no input takes become `NoNumber`, duplicate keys are a problem."""
    duplicated = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal duplicated
        plain = dict(items)
        if len(plain) == len(items):
            return plain
        duplicated = True
        marked = _Duplicated(plain)
        names = [name for name, _ in items]
        marked.keys_twice = tuple(dict.fromkeys(name for name in names if names.count(name) > 1))
        return marked

    def number(text: str) -> float | NoNumber:
        parsed = float(text)
        return parsed if math.isfinite(parsed) else NoNumber(text)

    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        tree = json.loads(text, object_pairs_hook=pairs, parse_constant=NoNumber, parse_float=number, parse_int=_whole)
    except UnicodeDecodeError as fault:
        raise GraphError([Problem(f"not JSON: byte {fault.start} is not UTF-8", "save the file as UTF-8")]) from None
    except json.JSONDecodeError as fault:
        place = f"line {fault.lineno}, column {fault.colno}"
        raise GraphError([Problem(f"not JSON: {fault.msg} at {place}", "mend the text there")]) from None
    except RecursionError:
        raise GraphError([_too_deep()]) from None
    problems = [*_depth_problems(tree), *(_duplicates(tree) if duplicated else ())]
    if problems:
        raise GraphError(problems)
    return tree


def _whole(text: str) -> int | NoNumber:
    if len(text) <= 20 and -(2**63) <= int(text) < 2**64:
        return int(text)
    return NoNumber(text if len(text) <= 40 else f"a number of {len(text)} digits", "beyond 64 bits")


def _too_deep() -> Problem:
    return Problem(
        f"nested deeper than {MAX_DEPTH} levels", "a graph file needs about 6; use subgraphs to structure it"
    )


def _walk(tree: Any) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Every container of a JSON tree with its path, without recursion."""
    stack: list[tuple[Any, tuple[str, ...]]] = [(tree, ())]
    while stack:
        item, path = stack.pop()
        if isinstance(item, dict):
            yield item, path
            stack += [(element, (*path, name)) for name, element in item.items() if isinstance(element, (dict, list))]
        elif isinstance(item, list):
            yield item, path
            stack += [(element, (*path, str(n))) for n, element in enumerate(item) if isinstance(element, (dict, list))]


def _depth_problems(tree: Any) -> list[Problem]:
    level, depth = [tree], 0
    while level and depth <= MAX_DEPTH:
        children = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for group in children if isinstance(group, (list, type({}.values()))) for child in group]
        level = [child for child in level if isinstance(child, (dict, list))]
        depth += 1
    return [_too_deep()] if level else []


def _duplicates(tree: Any) -> Iterator[Problem]:
    for item, path in _walk(tree):
        if isinstance(item, _Duplicated):
            for name in item.keys_twice:
                what = "node id" if path[-1:] == ("nodes",) else "key"
                yield Problem(
                    f"the {what} `{name}` stands twice in the same object", "rename or remove one", *_at(path)
                )


def _at(path: tuple[str, ...]) -> tuple[str, str]:
    """The node and the input that a path in the document is about."""
    if "nodes" not in path or path.index("nodes") + 1 >= len(path):
        return ".".join(path), ""
    start = path.index("nodes") + 1
    scope = [path[n + 1] for n in range(start - 1) if path[n] == "graphs" and n + 1 < start]
    node = "/".join([*scope, path[start]])
    rest = path[start + 1 :]
    return node, ".".join(rest[1:] if rest[:1] == ("inputs",) else rest)


def _document(tree: Any) -> DocumentModel:
    if not isinstance(tree, dict):
        raise GraphError([Problem(f"no graph: found {shown(tree)}, expected an object", "a graph file has `nodes`")])
    if "weft" not in tree:
        raise GraphError([_foreign(tree)])
    if type(tree["weft"]) is not int or tree["weft"] != VERSION:
        message = f"format version {shown(tree['weft'])}, this Weft reads version {VERSION}"
        raise GraphError([Problem(message, f'write "weft": {VERSION}, or use a newer Weft')])
    try:
        return DocumentModel.model_validate(tree)
    except ValidationError as fault:
        raise GraphError(_translate(error) for error in fault.errors(include_url=False)) from None
    except RecursionError:
        raise GraphError([_too_deep()]) from None


def _foreign(tree: Mapping[str, Any]) -> Problem:
    """What a JSON object that is no graph file of ours may be."""
    mend = f'a graph file begins {{"weft": {VERSION}, "nodes": {{...}}}}'
    nodes = tree.get("nodes")
    is_prompt = tree and all(isinstance(item, dict) and "class_type" in item for item in tree.values())
    if is_prompt or (isinstance(nodes, list) and "links" in tree):
        return Problem("a ComfyUI workflow, not a Weft graph", mend)
    return Problem("no graph: the key `weft` (the format version) is missing", mend)


def _translate(error: Any) -> Problem:
    """One of pydantic's errors as a problem: where, what was found, what was expected."""
    path = tuple(str(part) for part in error["loc"] if part != "[key]")
    kind, found = error["type"], error["input"]
    if kind == "extra_forbidden":
        known = _keys_at(path[:-1])
        mend = nearest(path[-1], known) or f"the keys here are: {listed(known)}"
        return Problem(f"unknown key `{path[-1]}`", mend, *_at(path[:-1]))
    if kind == "missing":
        return Problem(f"the key `{path[-1]}` is missing", "add it", *_at(path[:-1]))
    if kind == "string_pattern_mismatch":
        return Problem(
            f"`{path[-1]}` is no id", "use letters, digits, _ and -, beginning with a letter or _", *_at(path)
        )
    expected = error["msg"].removeprefix("Input should be ")
    return Problem(f"expected {expected}, found {shown(found)}", "", *_at(path))


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


def _graph(model: GraphModel, path: Path | None) -> Graph:
    problems: list[Problem] = []
    graph = _built(model, path, "", problems)
    if problems:
        raise GraphError(problems)
    return graph


def _built(model: GraphModel, path: Path | None, scope: str, problems: list[Problem]) -> Graph:
    nodes = {
        id: Node(
            sys.intern(node.type),
            MappingProxyType(
                {name: _given(item, f"{scope}{id}", name, problems) for name, item in node.inputs.items()}
            ),
            node.notes,
        )
        for id, node in model.nodes.items()
    }
    return Graph(
        title=model.title,
        nodes=MappingProxyType(nodes),
        parameters={name: _parameter(one) for name, one in model.parameters.items()},
        outputs={name: Link.parse(one.link) for name, one in model.outputs.items()},
        graphs={name: _built(one, path, f"{scope}{name}/", problems) for name, one in model.graphs.items()},
        description=model.description,
        notes=model.notes,
        layout=freeze(model.layout),
        path=path,
    )


def _given(item: Any, node: str, name: str, problems: list[Problem]) -> Any:
    """An input as a graph holds it: a literal, a Link, or a tuple of these."""
    if isinstance(item, list):
        return tuple(_given(element, node, name, problems) for element in item)
    if not isinstance(item, dict):
        return item
    if item.keys() == {"link"} and isinstance(item["link"], str):
        return Link.parse(item["link"])
    if item.keys() == {"value"}:
        return freeze(item["value"])
    problems.append(Problem(f"found an object with the keys {listed(item) or 'none'}", _LINK_MEND, node, name))
    return None


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
    """The graph as a graph file: JSON, indented, in a fixed order of keys."""
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


def _plain_input(item: Any) -> Any:
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


def valid_id(id: str) -> bool:
    """Whether `id` may name a node, a parameter, an output or a subgraph."""
    return bool(ID.match(id))
