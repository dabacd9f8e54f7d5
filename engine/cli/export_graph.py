"""`weft export`: a graph in the format of another program."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.graph_argument import read_graph, with_changes
from weft.engine.cli.output import Exit, json_line, say_problems, write_file
from weft.engine.errors import GraphError, InputError
from weft.engine.graph.exporting import exporter
from weft.engine.session import Engine

Given = Annotated[str, typer.Argument(metavar="GRAPH", help="A graph file, a picture that carries a graph, or -.")]
Target = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="The file. Default: printed on stdout.")
]
ComfyUI = Annotated[bool, typer.Option("--comfyui", help="In ComfyUI's API format.")]


def command(
    graph: Given,
    comfyui: ComfyUI = False,
    out: Target = None,
    changes: options.Changes = None,
    nodes: options.NodeFiles = None,
    comfy_nodes: options.ComfyNodes = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Write a graph in the format of another program. Nodes that have no counterpart there are listed, all at once."""
    if not comfyui:
        raise InputError("no format is named", "add --comfyui")
    engine = Engine(store=None, device="cpu", nodes=nodes or (), comfy_nodes=comfy_nodes or ())
    given = with_changes(read_graph(graph, engine.limits, engine.catalog), changes, engine.catalog)
    try:
        tree = exporter("comfyui")(given, engine.catalog)
    except GraphError as fault:
        say_problems(fault.problems, json)
        return Exit.WRONG
    content = json_format.dumps(tree, indent=2, ensure_ascii=False) + "\n"
    if out is None:
        print(content, end="")
        return Exit.DONE
    write_file(out, content.encode())
    if json:
        json_line({"event": "exported", "path": str(out), "nodes": len(tree)})
    else:
        print(out)
    return Exit.DONE
