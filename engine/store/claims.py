"""Who computes what right now: small advisory files, so that processes of one machine need not compute a thing twice.

    STORE/v1/claims/MACHINE/ab12....    made when a call begins, removed when its result is in the store

A claim is no lock. It is made by creating a file that must not exist yet, it says which process made it, when, and how
long that process thinks it will take, and it holds nobody up: one whose process is gone, or that took much longer than
was expected, counts for nothing and is taken over. Two that take one over at once cost a computation and never a
result, since equal keys mean equal content. Where claims cannot be written everybody computes.

Each machine has a folder of its own, since no other can tell whether its processes live.
"""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import orjson

from weft.engine.keys import Digest
from weft.engine.process import machine, process_start
from weft.engine.regular_file import read_regular

PATIENCE = 60.0
"""Seconds for which a claim holds where nobody knows how long the call will take."""

SLACK = 1.0
"""Seconds over twice the expected ones after which a claim does not hold any more."""


LONGEST = 86_400.0
"""Seconds after which no claim holds, whatever it says."""

LARGEST = 4096
"""Bytes of the file of a claim."""


@dataclass(frozen=True)
class Claimant:
    """Who computes a content key.

    Args:
        pid: the process; 0 where the claim is just being written.
        started: when that process started, as the system counts, so that no later one is taken for it; empty where
            the system does not say.
        since: when the claim was made, in seconds since 1970.
        expected: the seconds that the call was expected to take; None where nobody knew.
    """

    pid: int
    started: str
    since: float
    expected: float | None

    @property
    def seconds(self) -> float:
        """How long it has been computing."""
        return max(time.time() - self.since, 0.0)

    @property
    def holds(self) -> bool:
        """Whether waiting for it makes sense: its process lives, and it is not long overdue."""
        limit = PATIENCE if self.expected is None else min(2 * self.expected + SLACK, LONGEST)
        # One of the future would hold for ever; it is of this machine, so its clock is the same.
        timely = self.seconds <= limit and self.since <= time.time() + SLACK
        return timely and (not self.started or process_start(self.pid) == self.started)


@dataclass(frozen=True)
class Claim:
    """Leave to compute a content key, given back by `release` or at the end of a `with`."""

    give_back: Callable[[], None]

    def release(self) -> None:
        """Let others have it; to be called when the result is in the store, or will never be."""
        self.give_back()

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


UNCLAIMED = Claim(lambda: None)
"""What a store gives that has no claims: everybody may compute."""


@dataclass(frozen=True)
class Claims:
    """The claims of this machine's processes on a store.

    Args:
        folder: of the claims of all machines.
    """

    folder: Path

    def path(self, key: Digest) -> Path:
        """Where the claim of a key lies."""
        return self.folder / machine() / key

    def claim(self, key: Digest, expected: float | None) -> Claim | None:
        """Claim a key; None where somebody computes it already.

        Args:
            expected: seconds that the call is expected to take.
        """
        pid = os.getpid()
        content = orjson.dumps(asdict(Claimant(pid, process_start(pid), time.time(), expected)))
        try:
            return self._made(key, content) or self._taken_over(key, content)
        except OSError:
            return UNCLAIMED

    def claimed(self, key: Digest) -> Claimant | None:
        """Who computes a key; None where nobody does, or nobody that is worth waiting for."""
        try:
            claimant = self._claimant(key)
        except OSError:
            return None
        return claimant if claimant and claimant.holds else None

    def _claimant(self, key: Digest) -> Claimant | None:
        """Whom a claim names, whether it holds or not; a claim that is just being written names nobody."""
        path = self.path(key)
        try:
            content, written = read_regular(path, LARGEST, follow=False), path.lstat().st_mtime
        except FileNotFoundError:
            return None
        return _read(content) or Claimant(0, "", written, 0.0)

    def _made(self, key: Digest, content: bytes) -> Claim | None:
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent.is_symlink():
            raise OSError(errno.ELOOP, "the folder of claims is a link", str(path.parent))
        try:
            with path.open("xb", buffering=0) as file:
                file.write(content)
        except FileExistsError:
            return None
        return Claim(lambda: _remove(path, content))

    def _taken_over(self, key: Digest, content: bytes) -> Claim | None:
        claimant = self._claimant(key)
        if claimant and claimant.holds:
            return None
        if claimant:
            self.path(key).unlink(missing_ok=True)
        return self._made(key, content)


def _remove(path: Path, content: bytes) -> None:
    """Remove a claim unless another process has taken it over."""
    try:
        if read_regular(path, LARGEST, follow=False) == content:
            path.unlink()
    except OSError:
        return  # nobody is held up by it for longer than `holds` says


def _read(content: bytes) -> Claimant | None:
    """The claimant that a file names; None where it is not whole."""
    try:
        found = Claimant(**orjson.loads(content))
        numbers = [found.since, 0.0 if found.expected is None else found.expected]
        formed = type(found.pid) is int and isinstance(found.started, str) and all(map(math.isfinite, numbers))
    except (ValueError, TypeError, OverflowError):
        return None
    return found if formed else None
