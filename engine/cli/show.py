"""`weft show`: a graph as a tree of text or as a drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.graph_argument import read_graph, whole_part, with_changes
from weft.engine.cli.output import Exit, say_problems, write_file
from weft.engine.show.draw import sketch, to_picture, to_text
from weft.engine.workspace import Workspace

Picture = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Draw the graph into FILE.svg or FILE.png.")
]


def command(
    graph: options.GraphArgument,
    out: Picture = None,
    changes: options.Changes = None,
    nodes: options.NodeFiles = None,
    comfy_nodes: options.ComfyNodes = None,
    partial: options.Partial = False,
    debug: options.Debug = False,
) -> int:
    """Print a graph as a tree, or draw it into a file. Graphs with problems are shown as far as possible."""
    workspace = Workspace(nodes=nodes or (), comfy_nodes=comfy_nodes or ())
    chosen = with_changes(
        whole_part(read_graph(graph, workspace.limits, workspace.catalog), partial), changes, workspace.catalog
    )
    say_problems(chosen.faults, as_json=False)
    if out is None:
        print(to_text(chosen, workspace.catalog))
    else:
        write_file(out, to_picture(sketch(chosen, workspace.catalog), out.name))
        print(out)
    return Exit.DONE
