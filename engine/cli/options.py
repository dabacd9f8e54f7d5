"""The options that verbs share, and what they make: a graph to work on, an engine to run it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

GraphArgument = Annotated[
    str, typer.Argument(metavar="GRAPH", help="A graph file, a PNG that Weft wrote, or - (stdin).")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="NAME=VALUE", help="Set a parameter, or an input as NODE.INPUT=VALUE."),
]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="NODE", help="Run this node and what it needs.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder that pictures are written to.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
Precision = Annotated[str, typer.Option("--precision", help="auto, float32, float16, bfloat16.")]
StoreFolder = Annotated[
    Path | None,
    typer.Option("--store", help="The folder that results are kept in (WEFT_STORE; else your cache folder)."),
]
SharedStore = Annotated[
    str | None,
    typer.Option("--shared-store", metavar="URL", envvar="WEFT_SHARED_STORE", help="A store that machines share."),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep results.")]
Models = Annotated[list[Path] | None, typer.Option("--models", help="A folder with models (WEFT_MODELS).")]
Inputs = Annotated[list[Path] | None, typer.Option("--input", help="A folder with files that graphs name.")]
NodeFiles = Annotated[list[Path] | None, typer.Option("--nodes", metavar="FILE.py", help="Your own node types.")]
Previews = Annotated[
    Path | None, typer.Option("--preview", metavar="DIR", help="Keep writing DIR/NODE.png while a node paints.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout, nothing else there.")]
NoMetadata = Annotated[bool, typer.Option("--no-metadata", help="Leave the graph out of pictures.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch models that are named by hub id and not here yet.")]
HelpParameters = Annotated[
    bool, typer.Option("--help-parameters", help="List what the graph can be asked for with --set, and run nothing.")
]
Audit = Annotated[
    float,
    typer.Option(
        "--audit", min=0, max=1, metavar="SHARE", help="Compute this share of the hits again; name what differs."
    ),
]
Guard = Annotated[bool, typer.Option("--guard", help="Catch nodes that change their inputs (slower).")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where in the code an error arose.")]
