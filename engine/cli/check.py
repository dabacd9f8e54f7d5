"""`weft check`: every problem of some graphs, without hashing or running anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.graph_argument import read_graph, whole_part
from weft.engine.cli.output import Exit, json_line, say, say_problems, say_warnings
from weft.engine.errors import GraphError, Problem
from weft.engine.graph.graph import Graph
from weft.engine.workspace import Workspace

Graphs = Annotated[list[str], typer.Argument(metavar="GRAPH...", help="Graph files, pictures written by Weft, or -.")]


def command(
    graphs: Graphs,
    models: options.Models = None,
    inputs: options.Inputs = None,
    nodes: options.NodeFiles = None,
    comfy_nodes: options.ComfyNodes = None,
    partial: options.Partial = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Report every problem of the given graphs without running them."""
    workspace = Workspace(models=models or (), inputs=inputs or (), nodes=nodes or (), comfy_nodes=comfy_nodes or ())
    count = 0
    for name in graphs:
        problems, warnings = _problems(workspace, name, partial, json)
        count += len(problems)
        say_problems(problems, json)
        say_warnings(warnings, json)
        if json:
            more = {"warnings": len(warnings)} if warnings else {}
            json_line({"event": "checked", "file": name, "problems": len(problems), **more})
        elif not problems:
            print(f"{name}: ok")
    if count:
        say(f"{count} problem{'s' if count > 1 else ''}")
    return Exit.WRONG if count else Exit.DONE


def _problems(
    workspace: Workspace, name: str, partial: bool, json: bool
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """The problems of a graph, and its warnings."""
    try:
        read = whole_part(read_graph(name, workspace.limits, workspace.catalog), partial, json)
        checked = workspace.check(read)
    except GraphError as fault:
        return fault.problems, ()
    return checked.problems, (*checked.warnings, *_missing(workspace, read))


def _missing(workspace: Workspace, read: Graph) -> Iterator[Problem]:
    """Where the models that a workflow of another program names, and that are missing, can be found."""
    if read.foreign:
        from weft.engine.interop.missing_files import missing_files, problem_of

        for id, file in missing_files(read, workspace.places(read).models):
            yield problem_of(id, file).within(str(read.path or ""))
