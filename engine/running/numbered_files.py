"""Files of one name in a folder, numbered: `lake_0001.png`. A new one gets the next number, never one that is taken.

A folder may have tens of thousands of them, so what was seen is remembered for a second, for as long as nobody else
changes the folder. A number that another process took meanwhile is noticed when it is claimed.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from weft.engine.atomic_write import place_new, write_temporary

REMEMBERED = 1.0
"""Seconds for which a listing of an unchanged folder is used: another process may have written in the same instant."""

MAX_LISTINGS = 16

_LISTINGS: OrderedDict[tuple[str, str], _Listing] = OrderedDict()
_LOCK = threading.Lock()
"""Held while a listing is looked up."""


_NUMBER = re.compile(r"\d{4,}", re.ASCII)

RECENT = 32
"""How many of the newest files of a name are compared by more than their bytes."""


def _differs(path: Path) -> bool:
    return False


def place(stem: Path, suffix: str, content: bytes, same: Callable[[Path], bool] = _differs) -> tuple[Path, bool]:
    """Give content the next free number of a name, or find a file that has it.

    Runs of one process that deliver under one name at once number their files one by one, and the second of two equal
    files is found.

    Args:
        same: whether a file with other bytes is as good; asked of the `RECENT` newest files.

    Returns:
        The file, and whether it is new.

    Raises:
        OSError: where the folder cannot be read or written; no part of a file is left then.
    """
    listing = _listing(stem, suffix)
    with listing.lock:
        listing.refresh()
        found = listing.equal(content)
        if found is None:
            found = listing.newest(same)
        if found is not None:
            return Path(listing.path(found)), False
        temporary = write_temporary(f"{stem}{suffix}", content)
        number = listing.last + 1
        try:
            while not _placed(temporary, listing.path(number)):
                number += 1
        finally:
            Path(temporary).unlink(missing_ok=True)
        listing.added(number, len(content))
        return Path(listing.path(number)), True


def _placed(temporary: str, path: str) -> bool:
    try:
        place_new(temporary, path)
    except FileExistsError:
        return False
    return True


def _listing(stem: Path, suffix: str) -> _Listing:
    key = (str(stem.absolute()), suffix)
    with _LOCK:
        listing = _LISTINGS.get(key)
        if listing is None:
            listing = _LISTINGS[key] = _Listing(stem, suffix)
        _LISTINGS.move_to_end(key)
        while len(_LISTINGS) > MAX_LISTINGS:
            _LISTINGS.popitem(last=False)
        return listing


@dataclass
class _Listing:
    """The files of one name, as they were seen last.

    Args:
        numbers: of the files, by their size.
        known: the size of each file, by its number.
        stamp: identifies the folder and its last change.
        seen: when the folder was read, in seconds of the monotonic clock.
    """

    stem: Path
    suffix: str
    numbers: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    known: dict[int, int] = field(default_factory=dict)
    stamp: tuple[int, ...] = ()
    seen: float = 0.0
    last: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def path(self, number: int) -> str:
        """The file of a number."""
        return f"{self.stem}_{number:04d}{self.suffix}"

    def refresh(self) -> None:
        """Read the folder again, where it may have changed."""
        stamp, now = self._folder_stamp(), time.monotonic()
        if stamp == self.stamp and now - self.seen < REMEMBERED:
            return
        found = dict(self._found())
        for number in self.known.keys() - found.keys():
            self.numbers[self.known.pop(number)].discard(number)
        for number in found.keys() - self.known.keys():
            with suppress(FileNotFoundError):  # removed since
                self._add(number, found[number].stat().st_size)
        self.stamp, self.seen, self.last = stamp, now, max(self.known, default=0)

    def _found(self) -> Iterator[tuple[int, os.DirEntry[str]]]:
        begin, end = f"{self.stem.name}_", self.suffix
        with os.scandir(self.stem.parent) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(begin) and name.endswith(end):
                    digits = name[len(begin) : len(name) - len(end)]
                    if _NUMBER.fullmatch(digits):
                        yield int(digits), entry

    def equal(self, content: bytes) -> int | None:
        """The newest file with exactly this content."""
        for number in sorted(self.numbers.get(len(content), ()), reverse=True):
            with suppress(OSError):
                if Path(self.path(number)).read_bytes() == content:
                    return number
        return None

    def newest(self, same: Callable[[Path], bool]) -> int | None:
        """The newest file that is as good as the content, of the newest ones."""
        for number in range(self.last, max(0, self.last - RECENT), -1):
            with suppress(OSError):
                if number in self.known and same(Path(self.path(number))):
                    return number
        return None

    def added(self, number: int, size: int) -> None:
        """Remember a file that was written just now."""
        self._add(number, size)
        self.last = number
        self.stamp = self._folder_stamp()

    def _add(self, number: int, size: int) -> None:
        self.known[number] = size
        self.numbers[size].add(number)

    def _folder_stamp(self) -> tuple[int, ...]:
        folder = self.stem.parent.stat()
        return folder.st_dev, folder.st_ino, folder.st_mtime_ns
