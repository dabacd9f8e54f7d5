"""The commands that show and change a submitted job, from `status` to `manifest`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.farm.app import FolderArgument, Items, app, opened
from weft.engine.cli.farm.board import Show, shown_on
from weft.engine.cli.output import Exit, json_line
from weft.engine.errors import InputError
from weft.engine.farm.launchers.tasks import read_tasks
from weft.engine.farm.report.folder_status import attempts, entries_of, held_back, progress_of
from weft.engine.farm.report.job_progress import progress
from weft.engine.farm.report.manifest import write_contact_sheet, write_manifest
from weft.engine.farm.sweep.job_schema import job_schema
from weft.engine.farm.work import job_actions
from weft.engine.farm.work.ledger import Entry, Ledger
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.show.json_schema import written

Item = Annotated[
    str, typer.Argument(metavar="ITEM", help="An item's id or its first characters, its name or its number.")
]


@app.command("status")
def status(
    folder: FolderArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Update until the job ends.")] = False,
    json: options.Json = False,
) -> int:
    """Show the progress of a job: counts, rate, time left, failures. For an exported job, the published items."""
    if not ledger_path(folder).is_file():
        return _status_of_files(folder, watch, json)
    ledger = opened(folder)
    current, printed = progress(ledger), _printed(json)
    if watch:
        with nullcontext(printed) if json else shown_on(sys.stdout, printed) as show:
            while current.state == "running":
                show(current, ledger)
                time.sleep(1.0)
                current = progress(ledger)
    printed(replace(current, held=len(held_back(folder))), ledger)
    ledger.close()
    return Exit.FAILED if current.failures or current.state == "stopped" else Exit.DONE


def _status_of_files(folder: Path, watch: bool, json: bool) -> int:
    """The progress of a job without a ledger."""
    tasks, last = read_tasks(folder), None
    while True:
        current = progress_of(tasks)
        if current != last:
            json_line(current.plain()) if json else print(current, flush=True)
        if not watch or current.ended == current.total:
            return Exit.FAILED if current.failures else Exit.DONE
        last = current
        time.sleep(1.0)


def _printed(json: bool) -> Show:
    return lambda current, ledger: json_line(current.plain()) if json else print(current, flush=True)


@app.command("schema")
def schema() -> int:
    """Print the JSON Schema of job files."""
    sys.stdout.write(written(job_schema()).decode())
    return Exit.DONE


@app.command("pause")
def pause(folder: FolderArgument) -> int:
    """Let workers finish their current item and take no more."""
    return _done(folder, job_actions.pause)


@app.command("resume")
def resume(folder: FolderArgument) -> int:
    """Let workers take items again. Start a worker with `weft farm work FOLDER`."""
    return _done(folder, job_actions.resume)


@app.command("cancel")
def cancel(folder: FolderArgument) -> int:
    """Cancel all waiting items. Published items are kept."""
    return _done(folder, job_actions.cancel)


def _done(folder: Path, action: Callable[[Ledger], object]) -> int:
    """Do something with a job, and show how it stands."""
    ledger = opened(folder)
    action(ledger)
    print(progress(ledger))
    ledger.close()
    return Exit.DONE


@app.command("retry")
def retry(folder: FolderArgument) -> int:
    """Queue every failed item again, with its failures forgotten."""
    return _move(folder, ["failed"], "waiting", None)


@app.command("requeue")
def requeue(folder: FolderArgument, items: Items = None) -> int:
    """Queue failed, skipped and cancelled items again."""
    return _move(folder, ["failed", "skipped", "cancelled"], "waiting", items)


@app.command("skip")
def skip(folder: FolderArgument, items: Items = None) -> int:
    """Skip waiting and failed items."""
    return _move(folder, ["waiting", "failed"], "skipped", items)


def _move(folder: Path, old: list[str], new: str, items: list[str] | None) -> int:
    ledger = opened(folder)
    print(f"{ledger.change(old, new, items)} items are {new}")
    ledger.close()
    return Exit.DONE


@app.command("logs")
def logs(folder: FolderArgument, item: Item) -> int:
    """Print the log of every attempt of an item, its error, and why the job stopped."""
    entries, cause = _entries(folder)
    chosen = [one for one in entries if one.id.startswith(item) or item in (one.name, str(one.number))]
    if not chosen:
        raise InputError(f"there is no item {item!r}", "give an id or its first characters, a name or a number")
    for one in chosen:
        for path in attempts(folder, one):
            sys.stdout.write(path.read_text("utf-8", "replace"))
        if one.error:
            print(f"{one.name}: {one.state}: {one.error}")
    if cause:
        print(f"the job stopped: {cause}")
    return Exit.DONE


def _entries(folder: Path) -> tuple[list[Entry], str]:
    """The items of a job, and the reason it stopped."""
    if not ledger_path(folder).is_file():
        return entries_of(read_tasks(folder)), ""
    with closing(opened(folder)) as ledger:
        return ledger.entries(), ledger.cause


@app.command("manifest")
def manifest(
    folder: FolderArgument,
    contact_sheet: Annotated[bool, typer.Option("--contact-sheet", help="Also write contact_sheet.png.")] = False,
) -> int:
    """Write manifest.jsonl from the published items."""
    count = write_manifest(folder)
    if contact_sheet:
        print(write_contact_sheet(folder))
    print(f"{folder / 'manifest.jsonl'}: {count} items")
    return Exit.DONE
