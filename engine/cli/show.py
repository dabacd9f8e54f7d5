"""`weft show`: a graph as a tree of text or as a drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.graph_argument import read_graph, with_changes
from weft.engine.cli.output import Exit, say_problems, write_file
from weft.engine.session import Engine
from weft.engine.show.draw import sketch, to_picture, to_text

Picture = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Draw the graph into FILE.svg or FILE.png.")
]


def command(
    graph: options.GraphArgument,
    out: Picture = None,
    changes: options.Changes = None,
    nodes: options.NodeFiles = None,
    debug: options.Debug = False,
) -> int:
    """Print a graph as a tree, or draw it into a file. Graphs with problems are shown as far as possible."""
    engine = Engine(store=None, device="cpu", nodes=nodes or ())
    chosen = with_changes(read_graph(graph, engine.limits), changes, engine.catalog)
    say_problems(chosen.faults, as_json=False)
    if out is None:
        print(to_text(chosen, engine.catalog))
    else:
        write_file(out, to_picture(sketch(chosen, engine.catalog), out.name))
        print(out)
    return Exit.DONE
