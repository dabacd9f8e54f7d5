"""`weft graphs`: the graphs that ship, to start from."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.output import Exit, json_line, say, table
from weft.engine.errors import InputError, nearest
from weft.engine.graph.graph import Graph
from weft.engine.shipped_graphs import ShippedGraph, graphs_about

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[WORD]...", help="What the graph is for: inpaint, lora, img2img, upscale, LoadControlNet."),
]


def command(words: Words = None, json: options.Json = False, debug: options.Debug = False) -> int:
    """List the graphs to start from, or those that are about some words."""
    chosen = graphs_about(words or ())
    if not chosen:
        names = (word for one, graph in graphs_about(()).items() for word in (one.name, *graph.keywords))
        hint = nearest(" ".join(words or ()), names) or "`weft graphs` lists all, `weft nodes WORD` searches the nodes"
        raise InputError(f"no graph is about {' '.join(words or ())}", hint, "unknown-graph")
    if json:
        for one, graph in chosen.items():
            json_line(_record(one, graph))
        return Exit.DONE
    for _, group in groupby(chosen, key=lambda one: one.name.rpartition("/")[0] if not words else ""):
        print(table((one.name, chosen[one].title) for one in group))
    say("\nweft run NAME: run one    weft new NAME: write a copy to edit    weft run NAME --help-parameters: its knobs")
    return Exit.DONE


def _record(one: ShippedGraph, graph: Graph) -> dict[str, object]:
    return {
        "name": one.name,
        "title": graph.title,
        "description": graph.description,
        "keywords": list(graph.keywords),
        "parameters": list(graph.parameters),
        "path": str(one.path),
    }
