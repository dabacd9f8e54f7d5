"""What Python code runs and reads while it is imported: modules found by `sys.path`, `importlib` or `runpy`, and data.

Node files may do anything while they are imported, and what they read decides what their nodes do. Python tells of each
code that is run and of each file that is opened by audit events (https://peps.python.org/pep-0578/), so none of these
ways needs to be known here.

What is noted must not depend on what the process had imported before, else two processes would give one node type two
keys. So libraries never count, whether they are imported now or were earlier, nor do sources read for messages.
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
from importlib.machinery import PathFinder
from pathlib import Path
from types import CodeType, FrameType

from weft.engine.file_stamp import FileStamp, wait_for_tick
from weft.engine.keys import Digest, digest_file

HEADER = 16
"""Bytes of a bytecode file before its code."""

NEAR = 8
"""How many calls around the opening of a file are looked at."""

_ADDED: set[str] = set()
"""The folders that were added to `sys.path` while node files were run."""


def _absolute(name: str) -> str:
    """A path from the root, links not followed."""
    return os.path.abspath(name)  # noqa: PTH100 - `Path.resolve` follows links


def _folders_of_path() -> dict[str, None]:
    """The folders of `sys.path` in order, links not followed: names of modules' files begin with them."""
    return dict.fromkeys(_absolute(place) for place in sys.path if isinstance(place, str))


@dataclass
class Reads:
    """Files that were run or opened, with their stamps from before, in their order.

    Args:
        path_before: the folders of `sys.path` when the reading began, without those that code of node files added.
        ran: sources whose code was run.
        opened: files that were opened for reading.
    """

    path_before: frozenset[str] = field(default_factory=lambda: frozenset(_folders_of_path().keys() - _ADDED))
    ran: dict[str, FileStamp] = field(default_factory=dict)
    opened: dict[str, FileStamp] = field(default_factory=dict)

    @property
    def added(self) -> tuple[Path, ...]:
        """The folders that code of node files added to `sys.path`, now or earlier, in the order of the path."""
        present = _folders_of_path()
        _ADDED.update(present.keys() - self.path_before)
        return tuple(Path(one) for one in present if one in _ADDED and Path(one).is_dir())

    def of(self, folder: Path) -> dict[Path, FileStamp]:
        """The files that code in a folder depends on, with links followed.

        Sources count that were run, but for those of libraries: installed ones, and what Python finds without the
        code's help. Other files count that lie in the folder, or in one that was added to the path. So what libraries
        read of the user's own settings does not count.
        """
        own = {str(folder), *map(str, self.added)}
        others = {*self.path_before, *_installed()} - own
        found: dict[Path, FileStamp] = {}
        for name, stamp in self.ran.items():
            root = _deepest(name, own | others)
            if root in own or (not root and not _is_hooked(name)):
                found[Path(os.path.realpath(name))] = stamp
        for name, stamp in self.opened.items():
            real = os.path.realpath(name)
            root = _deepest(name, own | others) or _deepest(real, own | others)
            if root in own and "__pycache__" not in name:
                found.setdefault(Path(real), stamp)
        return {path: stamp for path, stamp in found.items() if path.is_file()}


def _deepest(name: str, folders: Iterable[str]) -> str:
    """The innermost of the folders that a file lies in; empty where it lies in none."""
    return max((one for one in folders if name.startswith(one.rstrip(os.sep) + os.sep)), key=len, default="")


def _is_hooked(name: str) -> bool:
    """Whether a source is of a module that an import hook finds, as those of some editable installs are."""
    tops = {key.partition(".")[0] for key, one in [*sys.modules.items()] if getattr(one, "__file__", None) == name}
    hooks = [one for one in sys.meta_path if one is not PathFinder and hasattr(one, "find_spec")]
    for top in tops:
        with suppress(Exception):  # the code of whoever installed the hook
            if any(hook.find_spec(top, None) for hook in hooks):
                return True
    return False


@cache
def _installed() -> frozenset[str]:
    """The folders of Python itself and of installed packages."""
    names = [*sysconfig.get_paths().values(), site.getusersitepackages()]
    kept = [name for name in names if Path(name).name not in ("include", "bin", "")]
    return frozenset(one for name in kept for one in (_absolute(name), os.path.realpath(name)))


_READERS: dict[int, Reads] = {}
"""What is noted for each thread."""

_HOOKED: list[bool] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event not in ("exec", "open") or (reads := _READERS.get(threading.get_ident())) is None:
        return
    if event == "exec" and isinstance(code := arguments[0], CodeType):
        _note(reads.ran, code.co_filename)
    elif event == "open":
        name, _, flags = arguments
        reading = isinstance(flags, int) and not flags & (os.O_WRONLY | os.O_RDWR)
        if reading and isinstance(name, str | bytes) and not _is_for_messages(sys._getframe(1)):
            _note(reads.opened, os.fsdecode(name))


def _note(known: dict[str, FileStamp], name: str) -> None:
    """Note a file with its stamp; what is no file, such as the code of `<string>`, is left out."""
    path = _absolute(name)
    if path not in known and not name.startswith("<"):
        with suppress(OSError, ValueError):
            wait_for_tick(FileStamp.of(Path(path).stat()))
            known[path] = FileStamp.of(Path(path).stat())


def _is_for_messages(frame: FrameType | None) -> bool:
    """Whether a file is opened to show its lines: tracebacks, warnings and `inspect` read sources so."""
    for _ in range(NEAR):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") == "linecache":
            return True
        frame = frame.f_back
    return False


@contextmanager
def reads_noted() -> Iterator[Reads]:
    """Note what the present thread runs and opens for reading while the block runs."""
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
