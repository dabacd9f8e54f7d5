"""`weft schema`: the JSON Schemas with which editors complete and check graph files and job files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.output import Exit, write_file
from weft.engine.farm.sweep.job_schema import job_schema
from weft.engine.show.json_schema import graph_schema, nodes_document, written
from weft.engine.show.type_stub import type_stub
from weft.engine.workspace import Workspace

Folder = Annotated[
    Path | None,
    typer.Option(
        "--write", metavar="DIR", help="Write the schemas of graph and job files, and nodes.json, into this folder."
    ),
]


Stub = Annotated[
    str | None,
    typer.Option(
        "--stub",
        metavar="LIBRARY",
        help="Print the type stub of a node library instead, such as weft.nodes: save it as its __init__.pyi.",
    ),
]


def command(
    write: Folder = None, stub: Stub = None, nodes: options.NodeFiles = None, debug: options.Debug = False
) -> int:
    """Print the JSON Schema of graph files, or write all schemas and the node catalogue into a folder."""
    if stub is not None:
        print(type_stub(stub), end="")
        return Exit.DONE
    types = Workspace(nodes=nodes or ()).catalog.values()
    schema = written(graph_schema(types))
    if write is None:
        sys.stdout.write(schema.decode())
        return Exit.DONE
    files = {
        "graph.schema.json": schema,
        "job.schema.json": written(job_schema()),
        "nodes.json": written(nodes_document(types)),
    }
    for name, content in files.items():
        write_file(write / name, content)
        print(write / name)
    return Exit.DONE
