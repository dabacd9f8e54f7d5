"""Arguments and options that several commands have, and the group of those that make an engine.

A command has a whole group as one parameter, `engine: EngineOptions`; `expanded` gives typer the fields of the group as
parameters of the command.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

GraphArgument = Annotated[
    str, typer.Argument(metavar="GRAPH", help="A graph file, a picture that carries one, or - for stdin.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="NAME=VALUE", help="Set a parameter, or an input as NODE.INPUT=VALUE."),
]
Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="NODE", help="Run only this node and the nodes it needs.")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the pictures. Default: output.")]
Device = Annotated[
    str | None,
    typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps; several as cuda:0,cuda:1. Default: auto."),
]
Devices = Annotated[
    str | None,
    typer.Option("--devices", metavar="D,D", help="Devices that share the nodes of the run; as --device D,D."),
]
Precision = Annotated[
    str | None, typer.Option("--precision", help="auto, float32, float16 or bfloat16. Default: auto.")
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights", metavar="SIZE", help="Weights kept on the device, such as 6G. Default: what fits, less --reserve."
    ),
]
Reserve = Annotated[
    str | None,
    typer.Option("--reserve", metavar="SIZE", help="Memory of the device that weights leave free, such as 2G."),
]
Offload = Annotated[
    str | None,
    typer.Option(
        "--offload",
        metavar="WHAT",
        help="What waits in the host's memory until it runs: auto (what does not fit), none, model, group (blocks; "
        "also --lowvram) or sequential (layers). Default: auto.",
    ),
]
HighVRAM = Annotated[bool, typer.Option("--highvram", hidden=True, help="As --offload none.")]
NormalVRAM = Annotated[bool, typer.Option("--normalvram", hidden=True, help="As --offload auto.")]
MedVRAM = Annotated[bool, typer.Option("--medvram", hidden=True, help="As --offload model.")]
LowVRAM = Annotated[bool, typer.Option("--lowvram", hidden=True, help="As --offload group.")]
NoVRAM = Annotated[bool, typer.Option("--novram", hidden=True, help="As --offload sequential.")]
StoreFolder = Annotated[
    Path | None, typer.Option("--store", help="Folder that results are kept in. Default: in your cache folder.")
]
SharedStore = Annotated[
    str | None, typer.Option("--shared-store", metavar="URL", help="A store shared by several machines.")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Do not read or keep results.")]
Models = Annotated[list[Path] | None, typer.Option("--models", help="A folder with models. Can be repeated.")]
Inputs = Annotated[
    list[Path] | None, typer.Option("--input", help="A folder with files that graphs name. Can be repeated.")
]
NodeFiles = Annotated[
    list[Path] | None, typer.Option("--nodes", metavar="FILE.py", help="A file with your own node types.")
]
ComfyNodes = Annotated[
    list[Path] | None,
    typer.Option(
        "--comfy-nodes",
        metavar="DIR",
        help="A folder with node classes for ComfyUI (custom_nodes, or one package in it): their code runs as node "
        "types. Can be repeated.",
    ),
]
NodeTimeout = Annotated[
    float | None,
    typer.Option("--node-timeout", min=0.001, metavar="SECONDS", help="A node that takes longer has failed."),
]
Previews = Annotated[
    Path | None,
    typer.Option("--preview", metavar="DIR", help="Keep the latest preview of each running node in DIR/NODE.png."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, and nothing else on stdout.")]
NoMetadata = Annotated[bool, typer.Option("--no-metadata", help="Do not write the graph into pictures.")]
Download = Annotated[
    bool,
    typer.Option(
        "--download",
        help="Download models that are missing: those named by hub id, and those that a workflow of another program "
        "says where to find, into the first folder of --models.",
    ),
]
HelpParameters = Annotated[
    bool, typer.Option("--help-parameters", help="List the graph's parameters and exit without running it.")
]
Partial = Annotated[
    bool,
    typer.Option(
        "--partial", help="Of a graph of another program, leave out what has no counterpart here, and what needs it."
    ),
]
Audit = Annotated[
    float,
    typer.Option(
        "--audit",
        min=0,
        max=1,
        metavar="SHARE",
        help="Compute this share of the cached results again, and report the nodes whose results differ.",
    ),
]
Guard = Annotated[bool, typer.Option("--guard", help="Report nodes that modify their inputs (slower).")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the Python traceback of an error.")]


def graph_path(argument: str) -> Path | None:
    """The path of a graph argument; None for stdin."""
    return None if argument == "-" else Path(argument)


def expanded(command: Callable[..., int]) -> Callable[..., int]:
    """The command with each option group among its parameters replaced by the fields of the group."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters = [*_parameters(command, hints)]

    @wraps(command)
    def call(**given: Any) -> int:
        made = {
            name: group(**{one.name: given.pop(one.name) for one in fields(group)}) for name, group in groups.items()
        }
        return command(**made, **given)

    call.__dict__["__signature__"] = inspect.Signature(parameters, return_annotation=int)
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def _parameters(command: Callable[..., int], hints: dict[str, Any]) -> Iterator[inspect.Parameter]:
    """The parameters of a command, with the fields of option groups in the place of these."""
    for name, one in inspect.signature(command).parameters.items():
        if not is_dataclass(hints[name]):
            yield one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
            continue
        inner = get_type_hints(hints[name], include_extras=True)
        for field in fields(hints[name]):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            yield inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=inner[field.name]
            )
