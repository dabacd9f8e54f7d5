"""Cases run one after the other in a child process, each within a time and a memory, and held to touch no file outside
of a folder.

The child lives as long as its cases behave, so that thousands of them are quick. A case that ends it, or that does not
end, costs a new child.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Literal, TypeVar

from weft.engine.errors import WeftError

C = TypeVar("C")

SECONDS = 5.0
"""Processor time of one case."""

MEMORY = 10**9
"""Address space that one case may add to the child's, in bytes."""

_PATIENCE = 12
"""How many times its seconds, by the clock, a case may take that waits, or computes where no signal is handled."""

_TREE = Path(__file__).parents[2]
_PYTHON = {Path(os.path.realpath(one)) for one in (*sys.path, sys.prefix, sys.base_prefix) if one}
_ROOTS = tuple(
    f"{one}{os.sep}" for one in {*_PYTHON - {_TREE}, _TREE / "engine", _TREE / "nodes", _TREE / "tests" / "fuzz"}
)
_SYSTEM = ("/proc/", "/sys/", "/dev/null", "/dev/urandom", "/etc/localtime", "/usr/share/zoneinfo/", "/usr/share/mime")
"""What libraries read of a machine; nothing of a user."""

_WRITES = {
    **dict.fromkeys(("os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.utime"), slice(1)),
    **dict.fromkeys(("os.rename", "os.link"), slice(2)),
    "os.symlink": slice(1, 2),
    "sqlite3.connect": slice(1),
}
"""Audit events that change files, and which of their arguments are paths of these."""

_READS = frozenset({"os.listdir", "os.scandir"})
_NEVER = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "socket.bind", "pickle.find_class"}
)


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    Args:
        kind: `refused` is a `WeftError`, `raised` any other exception; `died` a child that ended.
        detail: the exception, and where it was raised.
        touched: what the case did outside of its folder: audit events with their paths.
    """

    kind: Literal["done", "refused", "raised", "over time", "died"]
    detail: str = ""
    seconds: float = 0.0
    touched: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether it ended as any case must."""
        return self.kind in ("done", "refused") and not self.touched


class OverTime(BaseException):
    """The case has used its processor time; no `Exception`, so that nothing handles it on the way."""


class Budgeted(Generic[C]):
    """A child that runs cases; a context manager.

    Args:
        run: what is tried, a function of a module: it gets a case and the folder, which is also the working directory.
        folder: that cases may read and write; what lies next to it must stay as it is.
        first: a valid case that the child runs before any other, without limits, so that imports count for none.
        seconds: processor time of one case.
        memory: that one case may add, in bytes.
    """

    def __init__(
        self,
        run: Callable[[C, Path], None],
        folder: Path,
        first: C,
        seconds: float = SECONDS,
        memory: int = MEMORY,
    ) -> None:
        self._run = run
        self._folder = folder
        self._first = first
        self._seconds = seconds
        self._memory = memory
        self._context = multiprocessing.get_context("spawn")
        self._child: Any = None
        self._pipe: Connection[Any, Any] | None = None
        self._around = _listed(folder)

    def __enter__(self) -> Budgeted[C]:
        return self

    def __exit__(self, *raised: object) -> None:
        self._end()

    def outcome(self, case: C) -> Outcome:
        """Run one case."""
        pipe = self._pipe or self._start()
        pipe.send((case,))
        try:
            if pipe.poll(_PATIENCE * self._seconds):
                outcome: Outcome = pipe.recv()
                return outcome
        except (EOFError, OSError):
            self._child.join()
            code = self._child.exitcode
            self._end()
            return Outcome("died", f"exit code {code}")
        self._end()
        return Outcome("over time", "it waits, or handles no signal", _PATIENCE * self._seconds)

    def changed_around(self) -> list[str]:
        """Files next to the folder that were made, changed or removed since the start, by any means."""
        now = _listed(self._folder)
        return sorted(name for name in now.keys() | self._around.keys() if now.get(name) != self._around.get(name))

    def _start(self) -> Connection[Any, Any]:
        self._pipe, other = self._context.Pipe()
        given = (other, self._run, self._folder, self._first, self._seconds, self._memory)
        self._child = self._context.Process(target=_serve, args=given, daemon=True)
        sys.path.insert(0, str(_TREE))  # the child takes this path: it imports what it runs by the name `tests.fuzz...`
        try:
            self._child.start()
        finally:
            sys.path.remove(str(_TREE))
        other.close()
        return self._pipe

    def _end(self) -> None:
        if self._child is not None and self._pipe is not None:
            self._pipe.close()
            self._child.kill()
            self._child.join()
        self._child = self._pipe = None


def _listed(folder: Path) -> Mapping[str, tuple[int, int]]:
    """Size and time of each file next to a folder, by its path."""
    around = (path for path in folder.parent.rglob("*") if not path.is_relative_to(folder) and path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in around}


def _serve(
    pipe: Connection[Any, Any], run: Callable[[Any, Path], None], folder: Path, first: Any, seconds: float, memory: int
) -> None:
    """The child: an outcome for each case, until the pipe is closed."""
    os.chdir(folder)
    run(first, folder)
    watch = _Watch(folder)
    sys.addaudithook(watch)
    signal.signal(signal.SIGPROF, _raise_over_time)
    while True:
        try:
            (case,) = pipe.recv()
        except EOFError:
            return
        with watch.watching():
            outcome = _outcome(partial(run, case, folder), seconds, memory)
        pipe.send(replace(outcome, touched=tuple(dict.fromkeys(watch.touched))))


def _outcome(run: Callable[[], None], seconds: float, memory: int) -> Outcome:
    began = time.process_time()
    kind: Literal["done", "refused", "raised", "over time"] = "done"
    detail = ""
    try:
        with _limited(seconds, memory):
            run()
    except WeftError:
        kind = "refused"
    except OverTime as fault:
        kind, detail = "over time", _place(fault)
    except BaseException as fault:  # every other one is what the cases look for
        kind, detail = "raised", f"{type(fault).__name__}: {str(fault)[:200]} {_place(fault)}"
    return Outcome(kind, detail, time.process_time() - began)


@contextmanager
def _limited(seconds: float, memory: int) -> Iterator[None]:
    """The block within the processor time and the memory."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = Path("/proc/self/statm")
    if pages.is_file():
        used = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, before[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _raise_over_time(number: int, frame: FrameType | None) -> None:
    raise OverTime


def _place(fault: BaseException) -> str:
    """The innermost lines of Weft that an exception came through, and the last of all."""
    stack = traceback.extract_tb(fault.__traceback__)
    own = [line for line in stack if f"{os.sep}weft{os.sep}" in line.filename]
    lines = [*own[-2:], *(stack[-1:] if stack and stack[-1] not in own[-2:] else ())]
    return " < ".join(f"{Path(line.filename).name}:{line.lineno} {line.name}" for line in reversed(lines))


class _Watch:
    """An audit hook that notes what the running case does outside of its folder."""

    def __init__(self, folder: Path) -> None:
        self.touched: list[str] = []
        self._folder = os.path.realpath(folder)
        self._on = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Notes what happens in the block."""
        self.touched = []
        self._on = True
        try:
            yield
        finally:
            self._on = False

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event in _NEVER:
            self.touched.append(f"{event} {given[:2]!r}"[:200])
        elif event == "open":
            path, _, flags = given
            writes = isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
            self._look(event, path, writes)
        elif event in _WRITES:
            for path in given[_WRITES[event]]:
                self._look(event, path, writes=True)
        elif event in _READS:
            self._look(event, given[0], writes=False)

    def _look(self, event: str, path: Any, writes: bool) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return  # a descriptor that is open already
        try:
            real = os.path.realpath(os.fsdecode(path))
        except ValueError:  # a zero byte: the system refuses it
            return
        inside = real == self._folder or real.startswith(self._folder + os.sep)
        system = not writes and (real.startswith(_ROOTS) or real + os.sep in _ROOTS or real.startswith(_SYSTEM))
        imported = event == "os.listdir" and real == os.path.realpath(_TREE)  # as a late import looks for a module
        if not inside and not system and not imported:
            self.touched.append(f"{event} {'w' if writes else 'r'} {real}")
