"""`weft new`: a copy of a graph that ships, to edit."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.output import Exit, json_line, say
from weft.engine.graph import document
from weft.engine.graph.graph import Graph
from weft.engine.graph_copy import copy_graph
from weft.engine.shipped_graphs import shipped_graph
from weft.engine.workspace import Workspace

Name = Annotated[str, typer.Argument(metavar="GRAPH", help="A graph that `weft graphs` lists, such as text_to_image.")]
Target = Annotated[
    str | None, typer.Argument(metavar="[FILE]", help="The new file, or a folder for it. Default: GRAPH.json here.")
]


def command(
    graph: Name,
    file: Target = None,
    nodes: options.NodeFiles = None,
    models: options.Models = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Write a copy of a graph that comes with Weft, with the pictures that it starts from. Nothing is overwritten."""
    workspace = Workspace(nodes=nodes or (), models=models or ())
    one = shipped_graph(graph)
    target = _target(file or "", one.path.name)
    written = copy_graph(one, target, workspace.catalog)
    if json:
        json_line({"graph": one.name, "paths": [str(path) for path in written]})
        return Exit.DONE
    for path in written:
        print(path)
    copy = document.load(target)
    problems = workspace.check(copy).problems
    for problem in problems:
        say(f"before it runs: {problem}")
    say("\n".join(f"  {line}" for line in _next(copy, shlex.quote(str(target)), ready=not problems)))
    return Exit.DONE


def _target(given: str, name: str) -> Path:
    """The file to write: a name without an ending is a folder for it."""
    path = Path(given)
    return path / name if path.is_dir() or not path.suffix else path


def _next(graph: Graph, file: str, ready: bool) -> Iterator[str]:
    """The commands that follow."""
    if ready:
        yield f"weft run {file}"
        if "prompt" in graph.parameters:
            yield f'weft run {file} --set prompt="a lake at night"'
    else:
        yield f"weft check {file}"
    if graph.parameters:
        yield f"weft run {file} --help-parameters   # {', '.join(graph.parameters)}"
    yield f"weft watch {file}   # runs it again at every save"
