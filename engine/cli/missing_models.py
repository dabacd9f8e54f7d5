"""The models that a workflow says where to find and that are missing: listed, or got where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from weft.engine.cli.output import json_line, say, say_problems, say_warnings
from weft.engine.errors import InputError
from weft.engine.graph.graph import Graph
from weft.engine.interop.missing_files import download, missing_files, problem_of
from weft.engine.settings import resolve
from weft.engine.workspace import Workspace


def settle_missing(
    graph: Graph, workspace: Workspace, named: Sequence[Path] | None, get: bool, json: bool, *, needed: bool = True
) -> None:
    """Get the models of a workflow that are missing, or say where each is, with its digest.

    Args:
        named: the folders that the call names; the first one gets them, else the first of the settings.
        get: whether the call asks for it; no setting and no graph does.
        needed: whether a missing one is a problem; else a warning.

    Raises:
        InputError: where there is no folder, or a file cannot be had.
    """
    missing = [*missing_files(graph, workspace.places().models)]
    if not get:
        (say_problems if needed else say_warnings)([problem_of(*one) for one in missing], json)
        return
    folders = named or resolve().models
    if missing and not (folders and folders[0].is_dir()):
        raise InputError("there is no folder for the models to get", "name one with --models DIR", "missing-file")
    for _, file in missing:
        path = download(file, folders[0])
        if json:
            json_line({"event": "downloaded", "path": str(path), "checked": bool(file.digest)})
        else:
            say(f"{path}{'' if file.digest else ': not checked, as the workflow gives no digest'}")
