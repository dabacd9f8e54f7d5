"""`weft show`: a graph to look at, as a tree of text or as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.graph_argument import read_graph, with_settings
from weft.engine.cli.output import Exit, say_problems, write_file
from weft.engine.session import Engine
from weft.engine.show.draw import sketch, to_picture, to_text

Picture = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Draw it into FILE.svg or FILE.png instead.")
]


def command(
    graph: options.GraphArgument,
    out: Picture = None,
    settings: options.Settings = None,
    nodes: options.NodeFiles = None,
    debug: options.Debug = False,
) -> int:
    """Show a graph as a tree, or draw it as a picture; a graph with problems is shown as far as it can be."""
    engine = Engine(store=None, device="cpu", nodes=nodes or ())
    chosen = with_settings(read_graph(graph, engine.limits), settings, engine.catalog)
    say_problems(chosen.faults, as_json=False)
    if out is None:
        print(to_text(chosen, engine.catalog))
    else:
        write_file(out, to_picture(sketch(chosen, engine.catalog), out.name))
        print(out)
    return Exit.DONE
