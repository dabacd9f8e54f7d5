"""`weft graphs`: the graphs that ship, to start from."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.output import Exit, json_line, say, table
from weft.engine.errors import GraphError, InputError, nearest
from weft.engine.graph.graph import Graph
from weft.engine.shipped_graphs import ShippedGraph, scopes, shipped
from weft.engine.word_search import found

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[WORD]...", help="What the graph is for: inpaint, lora, img2img, upscale, LoadControlNet."),
]


def command(words: Words = None, json: options.Json = False, debug: options.Debug = False) -> int:
    """List the graphs to start from, or those that are about some words."""
    known = {one: graph for one in shipped().values() if (graph := _graph(one)) is not None}
    chosen = found(words or (), {one: texts(one, graph) for one, graph in known.items()})
    if not chosen:
        names = (word for one, graph in known.items() for word in (one.name, *graph.keywords))
        hint = nearest(" ".join(words or ()), names) or "`weft graphs` lists all, `weft nodes WORD` searches the nodes"
        raise InputError(f"no graph is about {' '.join(words or ())}", hint, "unknown-graph")
    if json:
        for one in chosen:
            json_line(_record(one, known[one]))
        return Exit.DONE
    for _, group in groupby(chosen, key=lambda one: one.name.rpartition("/")[0] if not words else ""):
        print(table((one.name, known[one].title) for one in group))
    say("\nweft run NAME: run one    weft new NAME: write a copy to edit    weft run NAME --help-parameters: its knobs")
    return Exit.DONE


def _graph(one: ShippedGraph) -> Graph | None:
    """The graph of a file; None where it has none, as a job."""
    try:
        return one.graph()
    except GraphError:
        return None


def texts(one: ShippedGraph, graph: Graph) -> tuple[list[str], list[str]]:
    """What a search looks at: names, and prose."""
    types = {node.type for inner in scopes(graph) for node in inner.nodes.values()}
    names = [one.name, one.name.rpartition("/")[2], graph.title, *graph.keywords, *graph.parameters, *types]
    return names, [graph.title, graph.description]


def _record(one: ShippedGraph, graph: Graph) -> dict[str, object]:
    return {
        "name": one.name,
        "title": graph.title,
        "description": graph.description,
        "keywords": list(graph.keywords),
        "parameters": list(graph.parameters),
        "path": str(one.path),
    }
