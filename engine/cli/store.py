"""`weft store`: inspect, verify, prune and migrate the store of results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from weft.engine import quantities
from weft.engine.cli import options
from weft.engine.cli.output import Exit, json_line, say
from weft.engine.errors import InputError
from weft.engine.home import with_home
from weft.engine.settings import resolve
from weft.engine.store import Stats, Store
from weft.engine.store.disk import DiskStore

app = typer.Typer(help="Inspect and maintain the store of results.", no_args_is_help=True)

N = TypeVar("N", int, float)

Folder = Annotated[
    Path | None, typer.Option("--store", help="The folder of the store. Default: `weft settings` shows it.")
]


@app.command("path")
def path(store: Folder = None) -> int:
    """Print the path of the store."""
    print(store or resolve().store_folder)
    return Exit.DONE


@app.command("stats")
def stats(store: Folder = None, json: options.Json = False) -> int:
    """Print how many results are stored and their size."""
    found = _opened(store).stats()
    if json:
        json_line(asdict(found))
    else:
        print(_sentence(found))
    return Exit.DONE


@app.command("verify")
def verify(store: Folder = None, json: options.Json = False) -> int:
    """Read every stored result and report damaged ones. Exit code 1 if there are any."""
    faults = _opened(store).verify()
    for fault in faults:
        if json:
            json_line({"path": fault.place, "reason": fault.reason})
        else:
            print(f"{fault.place}: {fault.reason}")
    say(f"{len(faults)} damaged; runs compute these again" if faults else "no damage found")
    return Exit.FAILED if faults else Exit.DONE


@app.command("prune")
def prune(
    max_size: Annotated[str | None, typer.Option("--max-size", help="Size to keep at most: 500M, 20G.")] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", help="Remove results unused for this long: 12h, 30d.")
    ] = None,
    store: Folder = None,
) -> int:
    """Remove results, least recently used first, and data that no result refers to."""
    size = _measure(max_size, quantities.size, "--max-size", "500M or 20G") if max_size else None
    age = _measure(older_than, quantities.seconds, "--older-than", "12h or 30d") if older_than else None
    print(f"removed {_sentence(_opened(store).prune(size, age))}")
    return Exit.DONE


@app.command("migrate")
def migrate(store: Folder = None, json: options.Json = False) -> int:
    """Update a store that was made by an older version of Weft. Nothing is lost; runs may continue meanwhile."""
    done = _disk(store).migrate()
    if json:
        json_line(asdict(done))
    elif done.before == done.after and not done.notes:
        print(f"layout {done.after}: up to date")
    else:
        print(f"layout {done.before} -> {done.after}: {done.notes} notes rewritten")
    return Exit.DONE


def _opened(folder: Path | None) -> Store:
    return _disk(folder)


def _disk(folder: Path | None) -> DiskStore:
    return DiskStore(with_home(folder or resolve().store_folder))


def _sentence(found: Stats) -> str:
    return f"{found.records} results, {found.blobs} blobs, {found.notes} notes, {found.bytes / 1e6:,.1f} MB"


def _measure(text: str, read: Callable[[str], N], option: str, example: str) -> N:
    try:
        return read(text)
    except ValueError:
        raise InputError(f"{option} {text}: expected a number with a unit", f"such as {example}") from None
