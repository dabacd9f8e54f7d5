"""How a job goes that has no ledger, as under another farm: what its folder tells by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from weft.engine.farm.launchers.tasks import Tasks
from weft.engine.farm.report.job_progress import JobProgress
from weft.engine.farm.work.ledger import Entry
from weft.engine.farm.work.publishing import HIDDEN, published, sidecar_paths, whole


def entries_of(tasks: Tasks) -> list[Entry]:
    """The items in the order of the job: done where they are published, failed where their last attempt says so."""
    done = {sidecar["id"]: sidecar["seconds"] for sidecar in published(tasks.folder)}
    entries = sorted(map(tasks.entry, range(len(tasks.lines))), key=lambda entry: entry.number)
    return [
        replace(entry, state="done", seconds=done[entry.id]) if entry.id in done else _unpublished(tasks.folder, entry)
        for entry in entries
    ]


def _unpublished(folder: Path, entry: Entry) -> Entry:
    logs = attempts(folder, entry)
    error = _error(logs[-1]) if logs else ""
    return replace(entry, state="failed" if error else "waiting", attempt=len(logs), error=error)


def attempts(folder: Path, entry: Entry) -> list[Path]:
    """The logs of an item's attempts, the first one first."""
    found = (folder / HIDDEN / "logs").glob(f"{entry.id[:16]}.*.log")
    return sorted(found, key=lambda path: int(path.name.split(".")[1]))


def _error(log: Path) -> str:
    """What failed in an attempt; a line that is damaged or cut short, as where a process was killed, says nothing."""
    return "\n".join(str(event["error"]) for event in _events(log) if event.get("event") == "node_failed")


def _events(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_bytes().splitlines():
        with suppress(ValueError):
            event = orjson.loads(line)
            if isinstance(event, dict):
                yield event


_HELD = b'"held":true'
"""What the sidecar of such an item has somewhere."""


def held_back(folder: Path) -> list[str]:
    """The names of the published items with a picture that is held back."""
    marked = (
        whole(folder, path) for path in sidecar_paths(folder) if _HELD in path.read_bytes()
    )  # few of many are read as a whole
    return [one["name"] for one in marked if one and any(found["held"] for found in one.get("safety", ()))]


def progress_of(tasks: Tasks) -> JobProgress:
    """How the job goes; whether anybody works at it is not known here, so it is `exported` until all is done."""
    entries = entries_of(tasks)
    counts = Counter(entry.state for entry in entries)
    return JobProgress(
        title=tasks.facts.title,
        state="finished" if counts["done"] == len(entries) else "exported",
        cause="",
        counts=dict(counts),
        total=len(entries),
        rate=0.0,
        left=None,
        failures=tuple((one.number, one.name, one.error) for one in entries if one.state == "failed"),
        workers={},
        held=len(held_back(tasks.folder)),
    )
