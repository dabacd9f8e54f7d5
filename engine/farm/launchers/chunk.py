"""The idempotent primitive that every launcher can call: run some items of a job and publish their pictures.

It needs the job's folder and no ledger. What is published already is left alone, so a chunk may be run again, by
several machines at once, or be cut short at any moment. Trying again is the launcher's business; items that were tried
before come last then, since one that ends the process would keep the others from ever being run.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from weft.engine.errors import WeftError
from weft.engine.farm.launchers.tasks import Tasks
from weft.engine.farm.sweep.axes import ranged
from weft.engine.farm.work.attempt import AttemptOutcome, ItemRunner, log_path
from weft.engine.farm.work.ledger import Entry
from weft.engine.farm.work.publishing import SIDECAR, dissolve, whole


@dataclass(frozen=True)
class Ended:
    """How an item of a chunk ended.

    Args:
        task: its number, as launchers count.
        state: `cached` where it was published before; `stopped` where it was given up, and `error` says why unless
            it was asked for.
    """

    task: int
    entry: Entry
    state: Literal["done", "cached", "failed", "stopped"]
    error: str = ""
    seconds: float = 0.0


def numbers(text: str) -> tuple[int, ...]:
    """The numbers that a launcher asks for: `0-9,12`, with steps as `0-9x2` or `0-9:2`.

    Raises:
        InputError: for anything else.
    """
    return ranged(text.replace(":", "x"))


def run_chunk(
    tasks: Tasks,
    chosen: Iterable[int],
    device: str = "",
    stopped: Callable[[], bool] = lambda: False,
    overdue: Callable[[Ended], object] | None = None,
) -> Iterator[Ended]:
    """Run items one after the other, each reported as it ends; after one that is `stopped` there are no more.

    Items without an earlier attempt come first.

    Args:
        device: instead of the job's.
        stopped: asked in every step.
        overdue: called in another thread where the run of an item does not end at the job's `item_timeout`; to end the
            process, which nothing else does.

    Raises:
        InputError: where an item is not of the job.
    """

    def report(entry: Entry, reason: str) -> None:
        if overdue is not None:
            number = next(number for number, one in entries.items() if one.id == entry.id)
            overdue(Ended(number, entry, "failed", reason))

    entries = {number: tasks.entry(number) for number in chosen}
    runner = ItemRunner.of(tasks.folder, tasks.facts, f"{os.getpid()}-{uuid.uuid4().hex[:6]}", device, report)
    try:
        for number in _in_order(tasks.folder, entries):
            entry = entries[number]
            ended = Ended(number, entry, "stopped") if stopped() else _run(runner, number, entry, stopped)
            yield ended
            if ended.state == "stopped":
                return
    finally:
        runner.close()


def _in_order(folder: Path, entries: Mapping[int, Entry]) -> list[int]:
    """The numbers of the items, last those with attempts that published nothing: these run by themselves now."""
    tried = {
        number
        for number, entry in entries.items()
        if log_path(folder, replace(entry, attempt=1)).exists() and not is_published(folder, entry)
    }
    for number in tried:
        dissolve(folder, entries[number].shared)
    return sorted(entries, key=lambda number: number in tried)


def _run(runner: ItemRunner, task: int, entry: Entry, stopped: Callable[[], bool]) -> Ended:
    if is_published(runner.folder, entry):
        return Ended(task, entry, "cached")
    outcome = runner.attempt(_next_attempt(runner.folder, entry), stopped).ready()
    try:
        return _settled(task, entry, outcome)
    finally:
        outcome.clear()


def _settled(task: int, entry: Entry, outcome: AttemptOutcome) -> Ended:
    if outcome.error:
        return Ended(task, entry, "failed", outcome.error)
    if outcome.staged is None:
        return Ended(task, entry, "stopped", outcome.cause)
    try:
        outcome.staged.publish()
    except OSError as fault:
        return Ended(task, entry, "stopped", str(fault))
    except WeftError as fault:
        return Ended(task, entry, "failed", str(fault))
    return Ended(task, entry, "done", seconds=outcome.seconds)


def is_published(folder: Path, entry: Entry) -> bool:
    """Whether an item is done, as its sidecar says."""
    sidecar = whole(folder, folder / f"{entry.name}{SIDECAR}")
    return sidecar is not None and sidecar.get("id") == entry.id


def _next_attempt(folder: Path, entry: Entry) -> Entry:
    """The attempt that has no log yet; after an attempt without a picture, an item runs outside of its batch."""
    attempt = 1
    while log_path(folder, replace(entry, attempt=attempt)).exists():
        attempt += 1
    return replace(entry, attempt=attempt, charge=0.5 * (attempt - 1))
