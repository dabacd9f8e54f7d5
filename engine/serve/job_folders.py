"""The jobs that a server shows: how each goes, its items, what they published and their logs. Workers run elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from weft.engine.artifact import name_fault
from weft.engine.errors import WeftError
from weft.engine.farm.launchers.tasks import read_tasks
from weft.engine.farm.report.folder_status import attempts, entries_of, progress_of
from weft.engine.farm.report.job_progress import progress
from weft.engine.farm.work.job_actions import ACTIONS
from weft.engine.farm.work.ledger import Entry, Ledger
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.publishing import HIDDEN, SIDECAR, files_of, files_written, read_sidecar
from weft.engine.file_memory import FileMemory
from weft.engine.unicode_text import json_text

Plain = Mapping[str, Any]
"""JSON values by name."""

JOB_NAME = re.compile(r"[A-Za-z0-9_+-][\w.+-]*\Z", re.ASCII)

MOST_LOG = 2**20
"""Of a longer log, the last bytes are given."""


@dataclass(frozen=True)
class JobFolders:
    """Jobs by name, that of their folder.

    Args:
        folders: of jobs, and folders that have such in them.
    """

    folders: tuple[Path, ...] = ()

    def all(self) -> Mapping[str, Path]:
        """The folders of jobs, the first one of each name."""
        found: dict[str, Path] = {}
        for folder in self.folders:
            for one in (folder, *sorted(folder.iterdir() if folder.is_dir() else ())):
                if JOB_NAME.match(one.name) and (one / HIDDEN).is_dir():
                    found.setdefault(one.name, one)
        return found

    def find(self, name: str) -> Path | None:
        """The folder of a job; None where there is none."""
        return self.all().get(name)


def progress_record(name: str, folder: Path) -> dict[str, Any]:
    """How a job goes; where its ledger cannot be read, why."""
    urls = {"name": name, "url": f"/api/jobs/{name}"}
    try:
        if not ledger_path(folder).is_file():
            return {**urls, **progress_of(read_tasks(folder)).plain()}
        with closing(Ledger(ledger_path(folder))) as ledger:
            return {**urls, **progress(ledger).plain()}
    except WeftError as fault:
        return {**urls, "state": "unreadable", "cause": str(fault)}


def job_record(name: str, folder: Path, state: str = "", begin: int = 0, limit: int | None = None) -> dict[str, Any]:
    """How a job goes, and its items in its order: state, settings, attempts, seconds, error.

    `listed` is how many such items there are, `working` the names of those that workers execute.

    Args:
        state: of the items that are given; empty gives all.
        begin, limit: the first one of these, and how many.
    """
    record, entries = progress_record(name, folder), _entries(folder)
    chosen = [entry for entry in entries if not state or entry.state == state]
    shown = chosen[begin : None if limit is None else begin + limit]
    executed = {item: worker for worker, item in record.get("workers", {}).items()}
    working = {executed[entry.id]: entry.name for entry in entries if entry.id in executed}
    return {**record, "items": [*map(_item_record, shown)], "listed": len(chosen), "working": working}


def item_record(folder: Path, number: int) -> Plain | None:
    """An item of a job by its number; None where there is none."""
    return next((_item_record(entry) for entry in _entries(folder) if entry.number == number), None)


def _item_record(entry: Entry) -> Plain:
    names = ("id", "number", "name", "state", "settings", "attempt", "worker", "seconds", "ended", "error")
    return {name: getattr(entry, name) for name in names}


def _entries(folder: Path) -> list[Entry]:
    if not ledger_path(folder).is_file():
        return entries_of(read_tasks(folder))
    with closing(Ledger(ledger_path(folder))) as ledger:
        return ledger.entries()


@dataclass(frozen=True)
class PublishedItem:
    """What an item of a job has published.

    Args:
        record: its id, number, name, settings, outputs, seconds, safety and files.
        written: when the last of its files was, in seconds since 1970.
    """

    record: Plain
    written: float

    @property
    def number(self) -> int:
        """Its place in the job."""
        return int(self.record["number"])

    def plain(self, job: str) -> dict[str, Any]:
        """As the API gives it: each file has its address."""
        files = [{**one, "url": f"/api/jobs/{job}/files/{one['path']}"} for one in self.record["files"]]
        return {**self.record, "files": files}


MOST_REMEMBERED = 2**26
"""Bytes of sidecars that are kept as they were read, for the next look at their jobs: those of about 50,000 items."""


def _kept(path: str) -> Plain:
    """Of a sidecar what is shown."""
    sidecar = read_sidecar(Path(path))
    return {name: sidecar.get(name) for name in _KEPT}


_KEPT = ("id", "number", "name", "settings", "outputs", "seconds", "safety", "files")

_SIDECARS: FileMemory[Plain] = FileMemory(MOST_REMEMBERED, lambda record: len(json_text(dict(record))))


def published_items(folder: Path) -> list[PublishedItem]:
    """What the items of a job have published whole, in its order. Sidecars are read again where they were written."""
    found, files = [], files_of(folder)
    for name, entry in files.items():
        if not name.endswith(SIDECAR):
            continue
        with suppress(OSError, ValueError):
            record = _SIDECARS.of(entry.stat(), partial(_kept, entry.path))
            written = files_written(record["files"], lambda name: files[name].stat())
            if written is not None:
                found.append(PublishedItem(record, written))
    return sorted(found, key=lambda item: item.number)


def published_item(folder: Path, number: str) -> PublishedItem | None:
    """What an item of a job has published; None where that is nothing."""
    return next((item for item in published_items(folder) if str(item.number) == number), None)


def logs_of(folder: Path, number: int) -> list[str] | None:
    """The logs of the attempts of an item, the first one first; None where there is no such item."""
    entry = next((one for one in _entries(folder) if one.number == number), None)
    if entry is None:
        return None
    return [path.read_bytes()[-MOST_LOG:].decode("utf-8", "replace") for path in attempts(folder, entry)]


def published_file(folder: Path, name: str) -> Path | None:
    """A published file of a job; None where there is none, or it is one of the job's own."""
    if name_fault(name) is not None or any(part.startswith(".") for part in name.split("/")):
        return None
    path = folder / name
    return path if path.is_file() and path.resolve().is_relative_to(folder.resolve()) else None


def change(folder: Path, action: str) -> None:
    """Pause, resume or cancel a job, or try its failed items again.

    Raises:
        WeftError: where its ledger cannot be read.
    """
    with closing(Ledger(ledger_path(folder))) as ledger:
        ACTIONS[action](ledger)
