"""`weft nodes`: the installed node types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from json import dumps
from textwrap import fill
from typing import Annotated, Any

import typer

from weft.engine.cli import options
from weft.engine.cli.output import Exit, json_line, say, table
from weft.engine.errors import InputError, listed
from weft.engine.shipped_graphs import graphs_about, types_in
from weft.engine.show.json_schema import NodeRecord, record
from weft.engine.spec.catalog import Catalog
from weft.engine.spec.node import NodeType
from weft.engine.word_search import found
from weft.engine.workspace import Workspace

WIDTH = 100
"""Columns to which the description of a type is wrapped."""

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TYPE | WORD...]", help="A node type to describe, or words that types are about."),
]


def command(
    words: Words = None,
    nodes: options.NodeFiles = None,
    comfy_nodes: options.ComfyNodes = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """List the installed node types, search them by words, or describe one with its inputs and outputs."""
    catalog = Workspace(nodes=nodes or (), comfy_nodes=comfy_nodes or ()).catalog
    named = _named(catalog, words or ())
    chosen = [named] if named else _about(catalog, words) if words else sorted(catalog.values(), key=_place)
    if json:
        for one in chosen:
            json_line(record(one))
    elif named:
        print("\n".join((*_whole(record(named)), *_used(named))))
    else:
        print("\n".join(_listed(chosen)))
        _name_graphs(words or ())
    return Exit.DONE


def _place(type: NodeType) -> tuple[str, str]:
    return type.category or "other", type.name


def _named(catalog: Catalog, words: Sequence[str]) -> NodeType | None:
    """The type of this name, in any case of letters."""
    folded = {name.lower(): type for name, type in catalog.items()}
    return folded.get(words[0].lower()) if len(words) == 1 else None


def _about(catalog: Catalog, words: Sequence[str]) -> list[NodeType]:
    """The types that are about some words, by category.

    Raises:
        InputError: where there are none.
    """
    texts = {type.name: ((type.name, *type.inputs), (type.category, type.description)) for type in catalog.values()}
    chosen = found(words, texts)
    if not chosen:
        about = " ".join(words)
        graph = next(iter(graphs_about(words)), None)
        hint = f"the graph {graph.name} is (`weft graphs {about}`)" if graph else catalog.suggest(about)
        raise InputError(f"there is no node type `{about}`, and none is about it", hint, "unknown-node-type")
    return sorted((catalog[name] for name in chosen), key=_place)


def _name_graphs(words: Sequence[str]) -> None:
    """Say which graphs are about the words."""
    if words and (graphs := list(graphs_about(words))):
        say(f"\ngraphs: {listed((one.name for one in graphs), 8)} (`weft new GRAPH` copies one)")


def _listed(types: list[NodeType]) -> Iterator[str]:
    """The types under their categories, a line each."""
    width = max((len(type.name) for type in types), default=0)
    for category, members in groupby(types, key=lambda type: _place(type)[0]):
        yield category
        for type in members:
            yield f"  {type.name:<{width}}  {type.summary}".rstrip()


def _whole(type: NodeRecord) -> Iterator[str]:
    """Everything about one type."""
    place = f"{type['category'] or 'other'}, lane {type['lane']}, version {type['version']}"
    yield f"{type['name']}  ({place})"
    for paragraph in filter(None, type["description"].split("\n\n")):
        yield fill(paragraph, WIDTH, initial_indent="  ", subsequent_indent="  ")
    if type["inputs"]:
        yield "\ninputs"
    width = max(map(len, type["inputs"]), default=0)
    indent = " " * (width + 4)
    for name, one in type["inputs"].items():
        default = f"default {dumps(one['default'])}" if "default" in one else "required"
        takes = f"{one['type']}{_bounds(one.get('schema', {}))}, {default}"
        yield fill(takes, WIDTH, initial_indent=f"  {name:<{width}}  ", subsequent_indent=indent)
        if one["help"]:
            yield fill(one["help"], WIDTH, initial_indent=indent, subsequent_indent=indent)
        yield from _choices(one.get("schema", {}), indent)
    yield "\noutputs"
    yield table(((name, kind) for name, kind in type["outputs"].items()), indent="  ")


def _choices(schema: Mapping[str, Any], indent: str) -> Iterator[str]:
    """A line on each choice of an input, where its type says what they are."""
    for one in (schema, *schema.get("anyOf", ())):
        width = max(map(len, one.get("enum", ())), default=0)
        for choice, about in zip(one.get("enum", ()), one.get("enumDescriptions", ()), strict=False):
            start = f"{indent}  {choice:<{width}}  "
            yield fill(about, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))


def _used(type: NodeType) -> Iterator[str]:
    """The graphs that come with Weft and have nodes of a type."""
    names = [one.name for one, graph in graphs_about(()).items() if type.name in types_in(graph)]
    if names:
        yield fill(f"\ngraphs\n  {listed(names, 8)}", WIDTH, replace_whitespace=False, subsequent_indent="  ")


def _bounds(schema: Mapping[str, Any]) -> str:
    """The range of an input's literals, `, 1 to 100 in steps of 8`, or its choices where they are not described."""
    for one in (schema, *schema.get("anyOf", ())):
        if "enum" in one and "enumDescriptions" not in one:
            return f": {', '.join(one['enum'])}"
        if "minimum" in one or "maximum" in one:
            step = f" in steps of {one['multipleOf']}" if "multipleOf" in one else ""
            return f", {one.get('minimum', '...')} to {one.get('maximum', '...')}{step}"
    return ""
