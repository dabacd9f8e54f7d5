"""`weft import`: another program's graph as a graph file of Weft's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.graph_argument import read_graph
from weft.engine.cli.missing_models import settle_missing
from weft.engine.cli.output import Exit, json_line, say, say_problems, write_file
from weft.engine.graph import document
from weft.engine.workspace import Workspace

Workflow = Annotated[
    str,
    typer.Argument(metavar="WORKFLOW", help="A workflow of ComfyUI (either format), a picture that carries one, or -."),
]
Target = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="The graph file. Default: printed on stdout.")
]


def command(
    workflow: Workflow,
    out: Target = None,
    partial: options.Partial = False,
    models: options.Models = None,
    comfy_nodes: options.ComfyNodes = None,
    download: Annotated[
        bool, typer.Option("--download", help="Get missing models from where the workflow says.")
    ] = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Write a workflow of another program as a graph of Weft's. Nodes without a counterpart are listed, all at once."""
    workspace = Workspace(models=models or (), comfy_nodes=comfy_nodes or ())
    graph = read_graph(workflow, workspace.limits, workspace.catalog)
    say_problems(graph.faults, json)
    if graph.faults and not partial:
        return Exit.WRONG
    settle_missing(graph, workspace, models, download, json)
    whole = replace(graph, faults=(), path=None, carries={})
    if not whole.nodes:
        say("nothing of it is left")
        return Exit.WRONG
    content = document.write(whole, schema=None)
    if out is None:
        print(content.decode(), end="")
        return Exit.DONE
    write_file(out, content)
    if json:
        json_line({"event": "imported", "path": str(out), "nodes": len(whole.nodes), "left_out": len(graph.faults)})
    else:
        print(out)
    return Exit.DONE
