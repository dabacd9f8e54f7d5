"""`weft import`: another program's graph as a graph file of Weft's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.graph_argument import read_graph
from weft.engine.cli.output import Exit, json_line, say, say_problems, write_file
from weft.engine.errors import InputError
from weft.engine.graph import document
from weft.engine.interop.foreign_graph import ForeignFile
from weft.engine.interop.missing_files import download as get_file
from weft.engine.interop.missing_files import missing_files, problem_of
from weft.engine.settings import resolve
from weft.engine.workspace import Workspace

Workflow = Annotated[
    str,
    typer.Argument(metavar="WORKFLOW", help="A workflow of ComfyUI (either format), a picture that carries one, or -."),
]
Target = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="The graph file. Default: printed on stdout.")
]

Download = Annotated[bool, typer.Option("--download", help="Get missing models from where the workflow says.")]


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
    missing = [*missing_files(graph, workspace.places().models)]
    if download:
        _get(missing, models, json)
    else:
        say_problems([problem_of(*one) for one in missing], json)
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


def _get(missing: Sequence[tuple[str, ForeignFile]], models: Sequence[Path] | None, json: bool) -> None:
    """Get files into the first folder of models.

    Raises:
        InputError: where there is no folder, or a file cannot be had.
    """
    folders = models or resolve().models
    if missing and not (folders and folders[0].is_dir()):
        raise InputError("there is no folder for the models to get", "name one with --models DIR", "missing-file")
    for _, file in missing:
        path = get_file(file, folders[0])
        if json:
            json_line({"event": "downloaded", "path": str(path), "checked": bool(file.digest)})
        else:
            say(f"{path}{'' if file.digest else ': not checked, as the workflow gives no digest'}")
