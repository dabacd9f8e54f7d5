"""Files on another machine, by any URL that fsspec knows; and files that may not answer, which fail nobody."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from weft.engine.errors import InputError
from weft.engine.home import with_home
from weft.engine.keys import Digest, digest_bytes
from weft.engine.regular_file import UNFIT
from weft.engine.store.places import LARGEST_FILE, Files, LocalFiles

ASK_AGAIN = 60.0
"""Seconds for which a place that did not answer is not asked."""

T = TypeVar("T")


def files_at(url: str) -> Files:
    """The files at a URL, which is not asked yet. `file://`, `local://` and plain paths are local files."""
    parts = urlsplit(url)
    if parts.scheme in ("", "file", "local"):
        return LocalFiles(with_home(unquote(parts.path)))
    return RemoteFiles(url)


@dataclass
class RemoteFiles:
    """Files at a URL. Object stores show whole files only; elsewhere half of one may be read, and fail its digest."""

    url: str

    def read(self, name: str, most: int = LARGEST_FILE) -> bytes:
        """A file's bytes; the size is not asked for first, which would take another request."""
        system, root = self._place
        content: bytes = system.cat_file(f"{root}/{name}")
        return content

    def digest(self, name: str) -> Digest:
        """The digest of a file's bytes."""
        return digest_bytes(self.read(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a file, instead of an older one."""
        system, root = self._place
        path = f"{root}/{name}"
        system.makedirs(path.rpartition("/")[0], exist_ok=True)
        system.pipe_file(path, content)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        system, root = self._place
        try:
            system.info(f"{root}/{name}")
        except FileNotFoundError:
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove a file, where there is one."""
        if self.exists(name):
            system, root = self._place
            system.rm_file(f"{root}/{name}")

    @cached_property
    def _place(self) -> tuple[Any, str]:
        """The file system and the path in it; what others write must be seen, so no listing is kept.

        Raises:
            InputError: where nothing is installed that reads such a URL.
        """
        import fsspec  # type: ignore[import-untyped]

        try:
            system, root = fsspec.url_to_fs(self.url, use_listings_cache=False)
        except (ValueError, ImportError) as fault:
            raise InputError(
                f"the shared store {self.url} cannot be used: {fault}", "install what it names, or correct the URL"
            ) from fault
        return system, root.rstrip("/")


@dataclass
class TolerantFiles:
    """Files of a place that may not answer: that is reported, and for a minute there is nothing in it.

    Args:
        url: the name of the place in reports.
        files: its files.
        report: called with a message that says what went wrong.
        check: called with the files before their first use; raises `InputError` where they may not be touched.
    """

    url: str
    files: Files
    report: Callable[[str], None]
    check: Callable[[Files], None] = lambda files: None
    _silent_until: float = 0.0
    _checked: bool = False

    @property
    def answers(self) -> bool:
        """Whether it is asked at all."""
        return time.monotonic() >= self._silent_until

    def read(self, name: str, most: int = LARGEST_FILE) -> bytes:
        """A file's bytes.

        Raises:
            FileNotFoundError: also where the place does not answer.
            OSError: where there is no plain file, or a larger one.
        """
        return self._there(name, lambda: self.files.read(name, most))

    def digest(self, name: str) -> Digest:
        """The digest of a file's bytes; raises as `read` does."""
        return self._there(name, lambda: self.files.digest(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a file, if the place answers."""
        self._asked(lambda: self.files.write(name, content), None)

    def exists(self, name: str) -> bool:
        """Whether there is such a file, as far as the place says."""
        return self._asked(lambda: self.files.exists(name), False)

    def remove(self, name: str) -> None:
        """Remove a file, if the place answers."""
        self._asked(lambda: self.files.remove(name), None)

    def _there(self, name: str, ask: Callable[[], T]) -> T:
        """What the place says of a file that is to be there."""
        found = self._asked(lambda: _kept_apart(ask), None)
        if found is None:
            raise FileNotFoundError(f"{self.url} has no {name}, or does not answer")
        if isinstance(found, OSError):
            raise found
        return found

    def _asked(self, ask: Callable[[], T], otherwise: T) -> T:
        """What the place answers. Each kind of place has errors of its own, so all of them are meant."""
        if not self.answers:
            return otherwise
        try:
            if not self._checked:
                self.check(self.files)
                self._checked = True
            return ask()
        except InputError:
            raise
        except Exception as fault:
            self._silent_until = time.monotonic() + ASK_AGAIN
            self.report(f"the shared store {self.url} does not answer, so the run goes on without it: {fault}")
            return otherwise


def _kept_apart(ask: Callable[[], T]) -> T | OSError | None:
    """What a place says, None where a file is missing, or what is wrong with the file: then the place does answer."""
    try:
        return ask()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as fault:
        if fault.errno in UNFIT:
            return fault
        raise
