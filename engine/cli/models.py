"""`weft models`: list the models that graphs can use, and download one from the hub."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from weft.engine.cli import options
from weft.engine.cli.output import Exit, json_line, say, table
from weft.engine.errors import InputError
from weft.engine.notices import receiving
from weft.engine.quantities import shown_size
from weft.engine.weights.merge_request import MergeRequest
from weft.engine.weights.resources import Resolved, Resource
from weft.engine.workspace import Workspace

app = typer.Typer(help="List the models that graphs can use, or download one from the hub.", no_args_is_help=True)


@app.command("list")
def list_models(models: options.Models = None, nodes: options.NodeFiles = None, json: options.Json = False) -> int:
    """List the models in the models folders, in the hub's cache and in installed libraries.

    Each with what its files take on disk, their precision, the size of the pictures that it was trained on, and its
    licence, as its files or the card next to them name them.
    """
    workspace = Workspace(models=models or (), nodes=nodes or ())
    found = {
        (name, one.kind, one.family or "", one.about): {"bytes": _bytes(one), **resource.details(one)}
        for resource in _resources(workspace)
        for name, one in resource.available(workspace.places())
    }
    rows = sorted(found)
    if json:
        for name, kind, family, about in rows:
            known = found[name, kind, family, about]
            json_line({"source": name, "kind": kind, "family": family, "about": about, **known})
    elif rows:
        print(table([("", "kind", "family", *_COLUMNS, ""), *(_line(row, found[row]) for row in rows)]))
    else:
        say(
            "no models found; name folders with --models DIR or WEFT_MODELS, or download one with `weft models pull ID`"
        )
    return Exit.DONE


@app.command("pull")
def pull(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="organisation/name, with @REVISION or /FILE.")],
    variant: Annotated[str, typer.Option("--variant", help="The weights variant, such as fp16.")] = "",
    nodes: options.NodeFiles = None,
) -> int:
    """Download a model into the hub's cache; graphs then name it by its id."""
    workspace = Workspace(nodes=nodes or ())
    resource = next((one for one in _resources(workspace) if type(one).pull is not Resource.pull), None)
    if resource is None:
        raise InputError("no installed node library can download models", "install one that can")
    print(resource.pull(identifier, variant))
    return Exit.DONE


Shares = list[str] | None


@app.command("merge")
def merge(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="The checkpoint to start from.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write, or the folder where FIRST is one.")],
    mix: Annotated[
        Shares, typer.Option("--mix", metavar="NAME=SHARE", help="Mix in: (1 - SHARE) x what there is + SHARE x NAME.")
    ] = None,
    add: Annotated[
        Shares, typer.Option("--add", metavar="NAME=FACTOR", help="Add FACTOR x (NAME - the one of --minus).")
    ] = None,
    minus: Annotated[str, typer.Option("--minus", metavar="NAME", help="What is subtracted from each --add.")] = "",
    lora: Annotated[Shares, typer.Option("--lora", metavar="NAME=STRENGTH", help="Add a LoRA.")] = None,
    blocks: Annotated[
        str, typer.Option("--blocks", help="Shares of single blocks: `IN00=0.2, M00=1`, or a number for each.")
    ] = "",
    vae: Annotated[bool, typer.Option("--vae", help="Merge the VAEs too.")] = False,
    precision: Annotated[
        str, typer.Option("--precision", help="float32, float16 or bfloat16. Default: that of FIRST.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    models: options.Models = None,
    nodes: options.NodeFiles = None,
    json: options.Json = False,
) -> int:
    """Write a merged checkpoint: FIRST with others mixed in, added, and LoRAs, in this order.

    Sums are made in float32, tensor by tensor, and written in the layout and the precision of FIRST. Its VAE and its
    metadata stay; an entry of the metadata says what was merged.
    """
    workspace = Workspace(models=models or (), nodes=nodes or ())
    resource = next((one for one in _resources(workspace) if type(one).merge is not Resource.merge), None)
    if resource is None:
        raise InputError("no installed node library can merge models", "install one that can")
    request = MergeRequest(first, out, _shares(mix), _shares(add), minus, _shares(lora), blocks, vae, precision, force)
    with receiving(lambda notice: say(str(notice))):
        written = resource.merge(request, workspace.places())
    if json:
        json_line({"path": str(written)})
    else:
        print(written)
    return Exit.DONE


def _shares(given: Shares) -> tuple[tuple[str, float], ...]:
    """Names with their numbers; 1 where there is none.

    Raises:
        InputError: for what is no number.
    """
    found = []
    for text in given or ():
        name, equals, number = text.rpartition("=")
        try:
            found.append((name, float(number)) if equals else (text, 1.0))
        except ValueError:
            raise InputError(f"`{text}` gives no number", "write NAME=0.5", "wrong-type") from None
        if not math.isfinite(found[-1][1]):
            raise InputError(f"`{text}` gives no finite number", "write NAME=0.5", "not-a-number")
    return tuple(found)


_COLUMNS = ("on disk", "precision", "size", "purpose", "licence")


def _line(row: tuple[str, str, str, str], known: Mapping[str, Any]) -> tuple[str, ...]:
    """A model in the table."""
    *place, about = row
    return (*place, shown_size(known["bytes"]), *(known.get(name, "") for name in _COLUMNS[1:]), about)


def _bytes(found: Resolved) -> int:
    """What the files of a model take, all variants of its weights included."""
    return sum(path.stat().st_size for path in found.files)


def _resources(workspace: Workspace) -> Iterator[Resource]:
    """One resource of each kind that the installed nodes take."""
    seen = set()
    for node in workspace.catalog.values():
        for one in node.inputs.values():
            if one.resource is not None and type(one.resource) not in seen:
                seen.add(type(one.resource))
                yield one.resource
