"""A job as files that launchers can point into: `job.json` says what a worker needs, `items.jsonl` has an item a line.

The lines are in the order of work, so that items whose numbers are near share most. What a launcher holds numbers of
is known by its key, the digest of the items: after another submission the same numbers may mean other items.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from weft.engine.atomic_write import replace_file
from weft.engine.errors import InputError
from weft.engine.farm.work.job_facts import VERSION, JobFacts, refuse_newer
from weft.engine.farm.work.ledger import Entry
from weft.engine.farm.work.publishing import HIDDEN
from weft.engine.keys import digest_bytes
from weft.engine.unicode_text import exact_json, read_json

VERSION_KEY = "weft_job_folder"
"""Where `job.json` has the version of the folder; missing in those of Weft 0.1."""

LINES_KEY = "lines"
"""Where `job.json` has the number of lines of `items.jsonl`; missing in those of earlier versions."""

_NAMES = ("id", "number", "rank", "shared", "name", "settings")


@dataclass(frozen=True)
class Tasks:
    """The items of a job, by number: from 0, in the order of work.

    Args:
        lines: an item each, as JSON.
        key: the digest of the items, 16 hexadecimal digits.
    """

    folder: Path
    facts: JobFacts
    lines: tuple[bytes, ...]
    key: str

    def entry(self, number: int) -> Entry:
        """An item.

        Raises:
            InputError: where there is none of this number.
        """
        if not 0 <= number < len(self.lines):
            raise InputError(
                f"there is no item {number}", f"the job has the items 0-{len(self.lines) - 1}", "unknown-item"
            )
        try:
            return Entry(**orjson.loads(self.lines[number]))
        except (ValueError, TypeError):
            raise _damaged(self.folder) from None


def write_tasks(folder: Path, facts: JobFacts, entries: Iterable[Entry]) -> None:
    """Write the files of a job; where they are the same already nothing changes."""
    lines = [orjson.dumps({name: getattr(entry, name) for name in _NAMES}) + b"\n" for entry in entries]
    replace_file(folder / HIDDEN / "items.jsonl", b"".join(lines))
    plain = {VERSION_KEY: VERSION, LINES_KEY: len(lines), **facts.plain()}
    replace_file(folder / HIDDEN / "job.json", exact_json(plain))


def refuse_newer_folder(folder: Path) -> None:
    """Stop before a job is written into the folder of one of a newer version of Weft.

    Raises:
        InputError: naming the folder and what to do.
    """
    try:
        plain = read_json((folder / HIDDEN / "job.json").read_bytes())
    except (OSError, ValueError):
        return
    refuse_newer(_version(plain), f"the job in {folder}")


def _version(plain: object) -> int:
    version = plain.get(VERSION_KEY, 0) if isinstance(plain, dict) else 0
    return version if isinstance(version, int) else 0


def _damaged(folder: Path) -> InputError:
    hint = "submit or export the job again: what is published is done"
    return InputError(f"the files of the job in {folder} are damaged", hint, "no-job")


def read_tasks(folder: Path, key: str = "") -> Tasks:
    """The tasks of a job's folder.

    Args:
        key: that they are to have; empty where any will do.

    Raises:
        InputError: where there are none, or others.
    """
    try:
        facts, items = ((folder / HIDDEN / name).read_bytes() for name in ("job.json", "items.jsonl"))
    except FileNotFoundError:
        hint = "give a folder that `weft farm export` or `weft farm submit` made"
        raise InputError(f"there is no job in {folder}", hint, "no-job") from None
    try:
        plain = read_json(facts)
        refuse_newer(_version(plain), f"the job in {folder}")
        tasks = Tasks(folder, JobFacts.read(plain), tuple(items.splitlines()), digest_bytes(items)[:16])
    except (ValueError, TypeError, AttributeError):
        raise _damaged(folder) from None
    if not items.endswith(b"\n") or len(tasks.lines) != plain.get(LINES_KEY, len(tasks.lines)):
        raise _damaged(folder)
    if key and key != tasks.key:
        hint = "export the job again, and give that to the farm"
        raise InputError(
            f"the job in {folder} was submitted again and is {tasks.key} now, not {key}", hint, "job-changed"
        )
    return tasks
