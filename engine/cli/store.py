"""`weft store`: how much is kept, whether it is whole, and letting go of some."""

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
from weft.engine.store import upkeep
from weft.engine.store.disk import DiskStore

app = typer.Typer(help="Look into and look after the store of results.", no_args_is_help=True)

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
    found = upkeep.stats(_disk(store))
    if json:
        json_line(asdict(found))
    else:
        print(_sentence(found))
    return Exit.DONE


@app.command("verify")
def verify(store: Folder = None, json: options.Json = False) -> int:
    """Read everything that is kept and name what is damaged; exit 1 where something is."""
    faults = upkeep.verify(_disk(store))
    for fault in faults:
        if json:
            json_line({"path": str(fault.path), "reason": fault.reason})
        else:
            print(f"{fault.path}: {fault.reason}")
    say(f"{len(faults)} damaged; a run computes these again" if faults else "everything is whole")
    return Exit.FAILED if faults else Exit.DONE


@app.command("prune")
def prune(
    max_size: Annotated[str | None, typer.Option("--max-size", help="Keep at most this much: 500M, 20G.")] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", help="Let go of what was not used for so long: 12h, 30d.")
    ] = None,
    store: Folder = None,
) -> int:
    """Let go of results, those unused for longest first, and of what nothing refers to."""
    size = _measure(max_size, _SIZES, "--max-size", "500M or 20G") if max_size else None
    age = _measure(older_than, _TIMES, "--older-than", "12h or 30d") if older_than else None
    print(f"let go of {_sentence(upkeep.prune(_disk(store), None if size is None else int(size), age))}")
    return Exit.DONE


def _disk(folder: Path | None) -> DiskStore:
    return DiskStore((folder or store_folder()).expanduser())


def _sentence(found: upkeep.Stats) -> str:
    return f"{found.records} results, {found.blobs} blobs, {found.notes} notes, {found.bytes / 1e6:,.1f} MB"


def _measure(text: str, units: dict[str, int], option: str, example: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]?)b?", text.strip().lower())
    if match is None or match[2] not in units:
        raise InputError(f"{option} {text}: expected a number with a unit", f"such as {example}")
    return float(match[1]) * units[match[2]]
