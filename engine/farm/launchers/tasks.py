"""A job as files that launchers can point into: `job.json` says what a worker needs, `items.jsonl` has an item a line.

The lines are in the order of work, so that items whose numbers are near share most. What a launcher holds numbers of
is known by its key, the digest of the items: after another submission the same numbers may mean other items.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from weft.engine.atomic_write import replace_file
from weft.engine.errors import InputError
from weft.engine.farm.work.ledger import Entry
from weft.engine.farm.work.publishing import HIDDEN
from weft.engine.keys import digest_bytes

_NAMES = ("id", "number", "rank", "shared", "name", "settings")


@dataclass(frozen=True)
class Tasks:
    """The items of a job, by number: from 0, in the order of work.

    Args:
        facts: `graph`, `path`, `setup`, `title`, as `submit` gives them to a ledger.
        key: the digest of the items, 16 hexadecimal digits.
    """

    folder: Path
    facts: Mapping[str, Any]
    lines: tuple[bytes, ...]
    key: str

    def entry(self, number: int) -> Entry:
        """An item.

        Raises:
            InputError: where there is none of this number.
        """
        if not 0 <= number < len(self.lines):
            raise InputError(f"there is no item {number}", f"the job has the items 0-{len(self.lines) - 1}")
        return Entry(**orjson.loads(self.lines[number]))


def write_tasks(folder: Path, facts: Mapping[str, Any], entries: Iterable[Entry]) -> None:
    """Write the files of a job; where they are the same already nothing changes."""
    plain = ({name: getattr(entry, name) for name in _NAMES} for entry in entries)
    replace_file(folder / HIDDEN / "items.jsonl", b"".join(orjson.dumps(one) + b"\n" for one in plain))
    replace_file(folder / HIDDEN / "job.json", orjson.dumps(facts))


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
        raise InputError(f"there is no job in {folder}", hint) from None
    tasks = Tasks(folder, orjson.loads(facts), tuple(items.splitlines()), digest_bytes(items)[:16])
    if key and key != tasks.key:
        hint = "export the job again, and give that to the farm"
        raise InputError(f"the job in {folder} was submitted anew and is {tasks.key} now, not {key}", hint)
    return tasks
