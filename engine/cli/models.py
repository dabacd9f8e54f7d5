"""`weft models`: list the models that graphs can use, and download one from the hub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.output import Exit, json_line, say, table
from weft.engine.errors import InputError
from weft.engine.session import Engine
from weft.engine.weights.resources import Resource

app = typer.Typer(help="List the models that graphs can use, or download one from the hub.", no_args_is_help=True)


@app.command("list")
def list_models(models: options.Models = None, nodes: options.NodeFiles = None, json: options.Json = False) -> int:
    """List the models in the models folders, in the hub's cache and in installed libraries."""
    engine = Engine(store=None, device="cpu", models=models or (), nodes=nodes or ())
    found = [(name, one) for resource in _resources(engine) for name, one in resource.available(engine.places())]
    rows = sorted({(name, resolved.kind, resolved.family or "") for name, resolved in found})
    if json:
        for name, kind, family in rows:
            json_line({"source": name, "kind": kind, "family": family})
    elif rows:
        print(table(rows))
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
    engine = Engine(store=None, device="cpu", nodes=nodes or ())
    resource = next((one for one in _resources(engine) if type(one).pull is not Resource.pull), None)
    if resource is None:
        raise InputError("no installed node library can download models", "install one that can")
    print(resource.pull(identifier, variant))
    return Exit.DONE


def _resources(engine: Engine) -> Iterator[Resource]:
    """One resource of each kind that the installed nodes take."""
    seen = set()
    for node in engine.catalog.values():
        for one in node.inputs.values():
            if one.resource is not None and type(one.resource) not in seen:
                seen.add(type(one.resource))
                yield one.resource
