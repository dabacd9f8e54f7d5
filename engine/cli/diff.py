"""`weft diff`: the differences between two graphs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from weft.engine.checking.graph_diff import diff
from weft.engine.checking.inlining import Flat, inline
from weft.engine.cli import options
from weft.engine.cli.graph_argument import read_graph
from weft.engine.cli.output import Exit, json_line, say
from weft.engine.errors import GraphError
from weft.engine.workspace import Workspace

First = Annotated[str, typer.Argument(metavar="A", help="A graph file, or a picture written by Weft.")]
Second = Annotated[str, typer.Argument(metavar="B", help="The graph to compare it with.")]


def command(
    first: First,
    second: Second,
    inputs: options.Inputs = None,
    comfy_nodes: options.ComfyNodes = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Compare two graphs node by node. Titles, layout and the order of nodes are ignored."""
    workspace = Workspace(inputs=inputs or (), comfy_nodes=comfy_nodes or ())
    changes = diff(_flat(workspace, first), _flat(workspace, second))
    for change in changes:
        if json:
            json_line(asdict(change))
        else:
            print(change)
    if not changes:
        say("no differences")
    return Exit.DONE


def _flat(workspace: Workspace, name: str) -> Flat:
    graph = read_graph(name, workspace.limits, workspace.catalog)
    flat = inline(graph, workspace.places(graph), workspace.limits, workspace.catalog)
    if flat.problems:
        raise GraphError(problem.within(name) for problem in flat.problems)
    return flat
