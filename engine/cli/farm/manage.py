"""The verbs that look after a job, from `status` to `manifest`."""

from __future__ import annotations

import sys
import time
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.farm.app import FolderArgument, Items, app, opened
from weft.engine.cli.farm.board import Show, shown_on
from weft.engine.cli.output import Exit, json_line
from weft.engine.errors import InputError
from weft.engine.farm.launchers.tasks import read_tasks
from weft.engine.farm.report.folder_status import attempts, entries_of, progress_of
from weft.engine.farm.report.job_progress import progress
from weft.engine.farm.report.manifest import write_contact_sheet, write_manifest
from weft.engine.farm.sweep.job_schema import job_schema
from weft.engine.farm.work.ledger import Entry
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.show.json_schema import written

Item = Annotated[str, typer.Argument(metavar="ITEM", help="The beginning of an item's id, its name or its number.")]


@app.command("status")
def status(
    folder: FolderArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it until the job is over.")] = False,
    json: options.Json = False,
) -> int:
    """Show how a job goes: counts, rate, time left, failures; of one that another farm runs, what is published."""
    if not ledger_path(folder).is_file():
        return _status_of_files(folder, watch, json)
    ledger = opened(folder)
    told = progress(ledger)
    if watch:
        with nullcontext(_tell(json)) if json else shown_on(sys.stdout, _tell(json)) as show:
            while told.state == "running":
                show(told, ledger)
                time.sleep(1.0)
                told = progress(ledger)
    _tell(json)(told, ledger)
    ledger.close()
    return Exit.FAILED if told.failures or told.state == "stopped" else Exit.DONE


def _status_of_files(folder: Path, watch: bool, json: bool) -> int:
    """The same for a job without a ledger."""
    tasks, last = read_tasks(folder), None
    while True:
        told = progress_of(tasks)
        if told != last:
            json_line(told.plain()) if json else print(told, flush=True)
        if not watch or told.ended == told.total:
            return Exit.FAILED if told.failures else Exit.DONE
        last = told
        time.sleep(1.0)


def _tell(json: bool) -> Show:
    return lambda told, ledger: json_line(told.plain()) if json else print(told, flush=True)


@app.command("schema")
def schema() -> int:
    """Print the JSON Schema of job files."""
    sys.stdout.write(written(job_schema()).decode())
    return Exit.DONE


@app.command("pause")
def pause(folder: FolderArgument) -> int:
    """Let workers finish the item that they are at, and take no more."""
    return _state(folder, "paused")


@app.command("resume")
def resume(folder: FolderArgument) -> int:
    """Let workers take items again; `weft farm work FOLDER` starts one."""
    ledger = opened(folder)
    ledger.change(["cancelled"], "waiting")
    ledger.close()
    return _state(folder, "running")


@app.command("cancel")
def cancel(folder: FolderArgument) -> int:
    """Give up everything that waits; what is published stays."""
    ledger = opened(folder)
    ledger.change(["waiting"], "cancelled")
    ledger.close()
    return _state(folder, "cancelled")


def _state(folder: Path, state: str) -> int:
    ledger = opened(folder)
    ledger.set_state(state)
    print(progress(ledger))
    ledger.close()
    return Exit.DONE


@app.command("retry")
def retry(folder: FolderArgument) -> int:
    """Have every failed item wait again, with nothing charged."""
    return _move(folder, ["failed"], "waiting", None)


@app.command("requeue")
def requeue(folder: FolderArgument, items: Items = None) -> int:
    """Have items that failed, were skipped or cancelled wait again."""
    return _move(folder, ["failed", "skipped", "cancelled"], "waiting", items)


@app.command("skip")
def skip(folder: FolderArgument, items: Items = None) -> int:
    """Leave out items that wait or failed."""
    return _move(folder, ["waiting", "failed"], "skipped", items)


def _move(folder: Path, old: list[str], new: str, items: list[str] | None) -> int:
    ledger = opened(folder)
    print(f"{ledger.change(old, new, items)} items are {new}")
    ledger.close()
    return Exit.DONE


@app.command("logs")
def logs(folder: FolderArgument, item: Item) -> int:
    """Print what happened in every attempt of an item, the cause of its failure, and why the job stopped."""
    entries, cause = _entries(folder)
    chosen = [one for one in entries if one.id.startswith(item) or item in (one.name, str(one.number))]
    if not chosen:
        raise InputError(f"no item is {item!r}", "give the beginning of an id, a name or a number")
    for one in chosen:
        for path in attempts(folder, one):
            sys.stdout.write(path.read_text())
        if one.error:
            print(f"{one.name}: {one.state}: {one.error}")
    if cause:
        print(f"the job stopped: {cause}")
    return Exit.DONE


def _entries(folder: Path) -> tuple[list[Entry], str]:
    """The items of a job, and why it stopped."""
    if not ledger_path(folder).is_file():
        return entries_of(read_tasks(folder)), ""
    with closing(opened(folder)) as ledger:
        return ledger.entries(), ledger.cause


@app.command("manifest")
def manifest(
    folder: FolderArgument,
    contact_sheet: Annotated[bool, typer.Option("--contact-sheet", help="Write contact_sheet.png too.")] = False,
) -> int:
    """Write manifest.jsonl anew from what is published."""
    count = write_manifest(folder)
    if contact_sheet:
        print(write_contact_sheet(folder))
    print(f"{folder / 'manifest.jsonl'}: {count} items")
    return Exit.DONE
