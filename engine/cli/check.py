"""`weft check`: every problem of some graphs, without hashing or running anything."""

from __future__ import annotations

from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.graph_argument import read_graph
from weft.engine.cli.output import Exit, json_line, say, say_problems
from weft.engine.errors import GraphError, Problem
from weft.engine.session import Engine

Graphs = Annotated[list[str], typer.Argument(metavar="GRAPH...", help="Graph files, PNGs that Weft wrote, or -.")]


def command(
    graphs: Graphs,
    models: options.Models = None,
    inputs: options.Inputs = None,
    nodes: options.NodeFiles = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Find everything that is wrong with graphs, before anything runs."""
    engine = Engine(store=None, device="cpu", models=models or (), inputs=inputs or (), nodes=nodes or ())
    found = 0
    for name in graphs:
        problems = _problems(engine, name)
        found += len(problems)
        say_problems(problems, json)
        if json:
            json_line({"event": "checked", "file": name, "problems": len(problems)})
        elif not problems:
            print(f"{name}: ok")
    if found:
        say(f"{found} problem{'s' if found > 1 else ''}")
    return Exit.WRONG if found else Exit.DONE


def _problems(engine: Engine, name: str) -> tuple[Problem, ...]:
    try:
        return engine.check(read_graph(name, engine.limits)).problems
    except GraphError as fault:
        return fault.problems
