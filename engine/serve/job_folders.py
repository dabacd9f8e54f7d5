"""The jobs that a server shows: how each goes, its items, what they published and their logs. Workers run elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
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
from weft.engine.farm.work.publishing import HIDDEN, published

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


def item_records(folder: Path) -> list[dict[str, Any]]:
    """The items of a job in its order: state, settings, attempts, seconds, error."""
    names = ("id", "number", "name", "state", "settings", "attempt", "worker", "seconds", "ended", "error")
    return [{one: plain[one] for one in names} for plain in map(asdict, _entries(folder))]


def _entries(folder: Path) -> list[Entry]:
    if not ledger_path(folder).is_file():
        return entries_of(read_tasks(folder))
    with closing(Ledger(ledger_path(folder))) as ledger:
        return ledger.entries()


def published_records(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """What the items of a job have published: settings, outputs, files."""
    for sidecar in published(folder):
        kept = {key: sidecar.get(key) for key in ("id", "number", "name", "settings", "outputs", "seconds", "safety")}
        files = [{**one, "url": f"/api/jobs/{name}/files/{one['path']}"} for one in sidecar["files"]]
        yield {**kept, "files": files}


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
