"""`weft store`: count, verify, prune and migrate the store of results."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.output import Exit, json_line, say
from weft.engine.errors import InputError
from weft.engine.session import store_folder
from weft.engine.store import Stats, Store
from weft.engine.store.disk import DiskStore

app = typer.Typer(help="Inspect and maintain the store of results.", no_args_is_help=True)

Folder = Annotated[Path | None, typer.Option("--store", help="The folder (WEFT_STORE; else your cache folder).")]

_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@app.command("path")
def path(store: Folder = None) -> int:
    """Print the folder of the store."""
    print(store or store_folder())
    return Exit.DONE


@app.command("stats")
def stats(store: Folder = None, json: options.Json = False) -> int:
    """Count what is kept."""
    found = _opened(store).stats()
    if json:
        json_line(asdict(found))
    else:
        print(_sentence(found))
    return Exit.DONE


@app.command("verify")
def verify(store: Folder = None, json: options.Json = False) -> int:
    """Read everything that is kept and name what is damaged; exit 1 where something is."""
    faults = _opened(store).verify()
    for fault in faults:
        if json:
            json_line({"path": fault.place, "reason": fault.reason})
        else:
            print(f"{fault.place}: {fault.reason}")
    say(f"{len(faults)} damaged; a run computes these again" if faults else "everything is whole")
    return Exit.FAILED if faults else Exit.DONE


@app.command("prune")
def prune(
    max_size: Annotated[str | None, typer.Option("--max-size", help="Keep at most this much: 500M, 20G.")] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", help="Remove what was not used for this long: 12h, 30d.")
    ] = None,
    store: Folder = None,
) -> int:
    """Remove results, the least recently used first, and files that nothing refers to."""
    size = _measure(max_size, _SIZES, "--max-size", "500M or 20G") if max_size else None
    age = _measure(older_than, _TIMES, "--older-than", "12h or 30d") if older_than else None
    removed = _opened(store).prune(None if size is None else int(size), age)
    print(f"removed {_sentence(removed)}")
    return Exit.DONE


@app.command("migrate")
def migrate(store: Folder = None, json: options.Json = False) -> int:
    """Bring a store that an older version of Weft made up to date; nothing in it is lost, and runs may go on."""
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
    return DiskStore((folder or store_folder()).expanduser())


def _sentence(found: Stats) -> str:
    return f"{found.records} results, {found.blobs} blobs, {found.notes} notes, {found.bytes / 1e6:,.1f} MB"


def _measure(text: str, units: dict[str, int], option: str, example: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]?)b?", text.strip().lower())
    if match is None or match[2] not in units:
        raise InputError(f"{option} {text}: expected a number with a unit", f"such as {example}")
    return float(match[1]) * units[match[2]]
