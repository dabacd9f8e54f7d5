"""The cores of this machine, which processes that compute on them take in turns.

Threads of OpenMP, torch's among them, spin at the end of each operation until the others are there. Where two processes
have more threads than there are cores, the ones that spin keep the cores from those that they wait for, and both take
many times as long. Fewer threads would help and change bits. So a process has as many cores as it has threads while it
holds the CPU's lane, and gives them to another one that waits between two steps.

Such a thread spins for some milliseconds by default (200 in Intel's and LLVM's OpenMP), also when its process has just
given the cores away. `spin_briefly` makes that half a millisecond: longer than a network pauses between two operations,
so that a process alone is as fast.

A core is a locked file, so it comes back when its process ends, however it ends. Whoever waits is first in a queue (one
more file), so that none waits for ever. A holder that computes nothing loses its cores to whoever waits: it was
stopped, it sleeps, or it waits for this very process. Its files are removed and made again, so those that compute go on
taking turns, and it takes turns with them again from its next step on. Where files cannot be locked, nobody waits.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from weft.engine.loaded_modules import loaded_module
from weft.engine.process import cpu_seconds
from weft.engine.weights.openmp_team import dismiss_team

SLICE = 0.2
"""Seconds for which cores are held at least before they go to another process."""

PAUSE = 0.01
"""Seconds between two looks at whether cores are free. Each look takes a core from the threads that compute. Whoever is
first in the queue is woken as soon as some are: both would be idle for half a pause at each change of hands."""

SPINS = {"GOMP_SPINCOUNT": "20000", "KMP_BLOCKTIME": "1"}
"""Environment variables that say how long threads spin: rounds in GNU's OpenMP, milliseconds in the others."""

LOOK = 1.0
"""Seconds over which it is looked at whether the holders compute."""

IDLE = 0.1
"""The share of that time that a holder must have computed."""

LOOKS = 4
"""Looks that find a holder idle until a process goes on without cores: whoever is first in the queue would have taken
them long before, so it was stopped too."""

EXCUSED = 30.0
"""Seconds for which such a process does not wait again."""

PATIENCE = 60.0
"""Seconds after which cores are taken from holders of which the system does not say whether they compute."""


def spin_briefly() -> None:
    """Have threads of OpenMP spin for a short time only, unless the user has chosen how they wait.

    It has an effect before torch is imported, since OpenMP reads its environment when it is loaded.
    """
    if not os.environ.keys() & {"OMP_WAIT_POLICY", *SPINS}:
        os.environ.update(SPINS)


def usable_cores() -> tuple[int, ...]:
    """The numbers of the cores that this process may use."""
    if sys.platform == "linux":
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


@dataclass(eq=False)
class MachineCores:
    """The cores as one process takes them; by one thread at a time.

    Args:
        folder: of the locked files; made when it is needed.
        numbers: of the cores.
        threads: how many cores this process needs at once; 0 needs none.
    """

    folder: Path
    numbers: tuple[int, ...]
    threads: Callable[[], int]
    _held: dict[int, int] = field(default_factory=dict)
    _since: float = 0.0
    _excused: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def taken(self, look: Callable[[], None]) -> Iterator[None]:
        """Have as many cores as this process has threads while the block runs.

        Args:
            look: called while waiting; what it raises ends the wait.
        """
        try:
            self.give_way(look)
            yield
        finally:
            dismiss_team()
            self.release()

    def give_way(self, look: Callable[[], None]) -> None:
        """Let a process that waits for the cores have them, where this one had them for a while, and take them again.

        Args:
            look: as for `taken`.
        """
        with self._lock:
            now = time.monotonic()
            if self._held and now - self._since < SLICE:
                return
            wanted = min(self.threads(), len(self.numbers))
            if not wanted or now < self._excused or not self._usable():
                return
            if self._held and self._holds_files() and not self._waited_for():
                self._since = now
                return
            self._release()
            self._take(wanted, look)

    def release(self) -> None:
        """Give all cores back."""
        with self._lock:
            self._release()

    def _waited_for(self) -> bool:
        """Whether another process waits for cores: it has the queue."""
        queue = self._locked(self.folder / "queue")
        if queue is not None:
            os.close(queue)
        return queue is None

    def _holds_files(self) -> bool:
        """Whether the files that this process has locked are still those that others try to lock."""
        try:
            return all(os.path.samestat(os.fstat(held), self._path(n).lstat()) for n, held in self._held.items())
        except OSError:
            return False

    def _take(self, wanted: int, look: Callable[[], None]) -> None:
        """Wait for so many cores, and take them from those that compute nothing on them."""
        queue, watch = None, _Watch()
        freed: threading.Event | None = None
        try:
            while len(self._held) < wanted:
                look()
                queue = self._locked(self.folder / "queue") if queue is None else queue
                if queue is not None:
                    self._take_free(wanted)
                if len(self._held) < wanted:
                    holders = self._holders()
                    idle = watch.idle(holders)
                    if idle and queue is not None:
                        self._take_from(number for number, pid in holders.items() if pid in idle)
                        freed = None
                        continue
                    if watch.idle_looks >= LOOKS:
                        self._excused = time.monotonic() + EXCUSED
                        self._release()
                        return
                    if queue is None:
                        time.sleep(PAUSE)
                        continue
                    if freed is None or freed.is_set():
                        freed = self._freed()
                    freed.wait(PAUSE)
        except BaseException:
            self._release()
            raise
        finally:
            if queue is not None:
                os.close(queue)
        self._since = time.monotonic()

    def _take_free(self, wanted: int) -> None:
        for number in self.numbers:
            if len(self._held) < wanted and number not in self._held:
                handle = self._locked(self._path(number))
                if handle is not None:
                    os.pwrite(handle, f"{os.getpid():10}".encode(), 0)
                    self._held[number] = handle

    def _freed(self) -> threading.Event:
        """Set as soon as a core that others have now is free; a thread waits for that."""
        path = self._path(next(number for number in self.numbers if number not in self._held))
        freed = threading.Event()

        def wait() -> None:
            import fcntl

            with suppress(OSError):
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX)
                    fcntl.flock(handle, fcntl.LOCK_UN)  # not by closing it alone: a process forked meanwhile has it too
                    freed.set()
                finally:
                    os.close(handle)

        threading.Thread(target=wait, name="weft cores", daemon=True).start()
        return freed

    def _take_from(self, numbers: Iterable[int]) -> None:
        """Remove the files of cores, for whoever is first in the queue: nobody else takes cores meanwhile."""
        for number in numbers:
            with suppress(OSError):
                self._path(number).unlink()

    def _holders(self) -> dict[int, int]:
        """The process that held each of the other cores last."""
        found = {}
        for number in self.numbers:
            if number not in self._held:
                with suppress(OSError, ValueError):
                    found[number] = int(self._path(number).read_bytes())
        return {number: pid for number, pid in found.items() if pid != os.getpid()}

    def _path(self, number: int) -> Path:
        return self.folder / f"core{number}"

    def _release(self) -> None:
        while self._held:
            os.close(self._held.popitem()[1])

    def _locked(self, path: Path) -> int | None:
        """A file, locked; None where another process has it, or none can."""
        if sys.platform == "win32":
            return None
        import fcntl

        handle = None
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if handle is not None:
                os.close(handle)
            return None
        return handle

    def _usable(self) -> bool:
        """Whether files can be locked here: the folder is one that nobody else writes to."""
        if sys.platform == "win32":
            return False
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            status = self.folder.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and os.access(self.folder, os.W_OK)


@dataclass
class _Watch:
    """Looks whether those compute that are waited for."""

    idle_looks: int = 0
    """How many looks found that one computed nothing."""
    _began: float = field(default_factory=time.monotonic)
    _at: float = field(default_factory=time.monotonic)
    _before: dict[int, float | None] = field(default_factory=dict)

    def idle(self, holders: Mapping[int, int]) -> set[int]:
        """The processes that computed nothing of late; none where it is too early to tell.

        Args:
            holders: the process that has each core.
        """
        now = time.monotonic()
        if self._before and now - self._at < LOOK:
            return set()
        spent = {pid: cpu_seconds(pid) for pid in holders.values()}
        least = IDLE * (now - self._at)
        found = {pid for pid, seconds in spent.items() if self._is_idle(pid, seconds, least, now)}
        self._at, self._before = now, spent
        self.idle_looks += bool(found)
        return found

    def _is_idle(self, pid: int, seconds: float | None, least: float, now: float) -> bool:
        if seconds is None:
            return now - self._began >= PATIENCE
        before = self._before.get(pid)
        return before is not None and seconds - before < least


def _threads() -> int:
    """The threads that torch computes with; 0 where it is not loaded."""
    torch = loaded_module("torch")
    return int(torch.get_num_threads()) if torch is not None else 0


def _folder() -> Path:
    user = os.getuid() if sys.platform != "win32" else 0
    return Path(tempfile.gettempdir()) / f"weft-cores-{user}"


CORES = MachineCores(_folder(), usable_cores(), _threads)
"""Those of this process."""

if sys.platform != "win32":
    # A process that was forked while cores are held would keep them.
    os.register_at_fork(after_in_child=CORES.release)
