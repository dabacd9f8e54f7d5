"""The files that Python code opens while it is imported: modules found by `sys.path`, `importlib` or `runpy`, and data.

Node files may do anything while they are imported, and what they read decides what their nodes do. Python tells of each
file that is opened by an audit event (https://peps.python.org/pep-0578/), so none of these ways needs to be known here.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import site
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType

from weft.engine.file_stamp import FileStamp, wait_for_tick
from weft.engine.keys import Digest, digest_file

HEADER = 16
"""Bytes of a bytecode file before its code."""


_ADDED: set[str] = set()
"""The folders that were added to `sys.path` while node files were run."""


def _folders_of_path() -> dict[str, None]:
    return dict.fromkeys(os.path.realpath(place) for place in sys.path if isinstance(place, str))


@dataclass
class Reads:
    """Files that were opened, with their stamps from before, in the order of their opening.

    Args:
        path_before: the folders of `sys.path` when the reading began, without those that code of node files added.
    """

    path_before: frozenset[str] = field(default_factory=lambda: frozenset(_folders_of_path().keys() - _ADDED))
    opened: dict[str, FileStamp] = field(default_factory=dict)

    def hear(self, name: object) -> None:
        """Note a file that is about to be opened."""
        with suppress(OSError, ValueError, TypeError):
            path = Path(os.fsdecode(name)).absolute()  # type: ignore[arg-type]  # the number of an open file is no name
            if str(path) not in self.opened:
                wait_for_tick(FileStamp.of(path.stat()))
                self.opened[str(path)] = FileStamp.of(path.stat())

    @property
    def added(self) -> tuple[Path, ...]:
        """The folders that code of node files added to `sys.path`, now or earlier, in the order of the path."""
        present = _folders_of_path()
        _ADDED.update(present.keys() - self.path_before)
        return tuple(Path(one) for one in present if one in _ADDED and Path(one).is_dir())

    def of(self, folder: Path) -> dict[Path, FileStamp]:
        """The files that code in a folder depends on, with links followed.

        Python sources count wherever they lie, but for those that Python found without the code's help: installed ones,
        and modules of folders that were on its path before. Other files count in the folder and in those that were
        added to the path. So what libraries read of the user's own settings does not count.
        """
        found, places = {}, (folder, *self.added)
        for name, stamp in self.opened.items():
            path = _source_of(name)
            if path is not None and self._counts(path, places):
                with suppress(OSError):
                    found[path] = stamp if str(path) == name else FileStamp.of(path.stat())
        return found

    def _counts(self, path: Path, places: Iterable[Path]) -> bool:
        if not path.is_file() or any(path.is_relative_to(place) for place in _installed()):
            return False
        if "__pycache__" in path.parts:  # what compilers keep next to sources, such as Numba
            return False
        if any(path.is_relative_to(place) for place in places):
            return True
        return path.suffix == ".py" and not any(path.is_relative_to(place) for place in self.path_before)


def _source_of(name: str) -> Path | None:
    """The real path of a file; of bytecode, that of its source. None for bytecode without one."""
    if name.endswith(".pyc"):
        try:
            name = importlib.util.source_from_cache(name)
        except ValueError:
            return None
    return Path(os.path.realpath(name))


@cache
def _installed() -> tuple[Path, ...]:
    """The folders of Python itself and of installed packages."""
    names = [*sysconfig.get_paths().values(), site.getusersitepackages()]
    return tuple({Path(os.path.realpath(name)) for name in names if Path(name).name not in ("include", "bin", "")})


_READERS: dict[int, Reads] = {}
"""What is noted for each thread."""

_HOOKED: list[bool] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _READERS and (reads := _READERS.get(threading.get_ident())) is not None:
        name, _, flags = arguments
        if isinstance(flags, int) and not flags & (os.O_WRONLY | os.O_RDWR):
            reads.hear(name)


@contextmanager
def reads_noted() -> Iterator[Reads]:
    """Note which files the present thread opens for reading while the block runs."""
    if not _HOOKED:
        sys.addaudithook(_hook)  # it stays: Python has no way to take it away
        _HOOKED.append(True)
    reads, me = Reads(), threading.get_ident()
    around = _READERS.get(me)
    _READERS[me] = reads
    try:
        yield reads
    finally:
        if around is None:
            del _READERS[me]
        else:
            _READERS[me] = around


def digests_of(files: Iterable[Path]) -> dict[Path, Digest | None]:
    """The digest of each file; None for one that cannot be read."""
    found: dict[Path, Digest | None] = {}
    for path in files:
        try:
            found[path] = digest_file(path)
        except OSError:
            found[path] = None
    return found


def forget_stale_bytecode(sources: Iterable[Path]) -> bool:
    """Remove bytecode that is not that of its source by now; whether there was any.

    Python compares the size and the second of the last write, so an edit within one second can go unnoticed.
    """
    stale = False
    for source in sources:
        with suppress(OSError, ValueError, NotImplementedError, SyntaxError, EOFError, TypeError):
            cached = Path(importlib.util.cache_from_source(str(source)))
            code = marshal.loads(cached.read_bytes()[HEADER:])
            if isinstance(code, CodeType) and code != compile(source.read_bytes(), str(source), "exec"):
                cached.unlink()
                stale = True
    return stale
