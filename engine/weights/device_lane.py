"""One lane a device: nodes that use the device take turns on it, first come first served, over all runs of the process.

Modules are shared between runs and patched in place while a node uses them (attention processors, tiling, hooks), so
two nodes must never use one device at once. The lanes belong to the process rather than to an `Engine`: two engines
have modules of their own, but they share the memory and the cores of a device, and two nodes that each fit alone may
not fit together.

A turn is taken for one node and given back after it, so a run waits at most for one node of each other run. A node that
runs something itself, through an engine or by calling a node type, takes its turns within its own one. Where it does so
on another device, it holds one and waits for the other; of two nodes that do so crosswise one
fails, since they would wait for each other for ever.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import Context, ContextVar

from weft.engine.errors import InputError
from weft.engine.process_end import raise_if_ending
from weft.engine.weights.machine_cores import CORES

LOOK = 0.1
"""Seconds between two looks at whether a run that waits for its turn was cancelled."""


class DeviceLane:
    """Turns on one device.

    Args:
        device: as torch names it: `cpu`, `cuda:0`.
        outer: the lane of which this one divides a turn; None for a device's own lane.
    """

    def __init__(self, device: str, outer: DeviceLane | None = None) -> None:
        self.device = device
        self._outer = outer
        self._root: DeviceLane = outer._root if outer else self
        self._holder_waits_for: DeviceLane | None = None
        self._closed = False
        self._lost = ""
        # The first ticket has the turn, the others wait. A Condition over a plain lock: a thread never enters it twice.
        self._tickets: deque[object] = deque()
        self._changed = threading.Condition(threading.Lock())

    @property
    def busy(self) -> bool:
        """Whether who asks for the device now has to wait: others hold it, or the turn that the present code holds."""
        return bool(self._innermost()._tickets)

    @contextmanager
    def turn(self, look: Callable[[], None] = raise_if_ending) -> Iterator[DeviceLane]:
        """Hold the device while the block runs; waits until those who came before are done.

        Code that holds a turn already, on this thread or in a copy of its `contextvars` context, gets one within it.

        Args:
            look: called now and then while waiting; what it raises ends the wait. Where left out, the wait ends with
                the process: nobody else can end it.

        Yields:
            The lane within this turn, for threads that the block starts without its `contextvars` context.
        """
        lane, ticket = self._entered(look)
        inner = DeviceLane(self.device, lane)
        outermost_on_cpu = lane._outer is None and self.device == "cpu"
        try:
            with CORES.taken(look) if outermost_on_cpu else nullcontext():
                token = _TURNS.set((*_TURNS.get(), inner))
                try:
                    yield inner
                finally:
                    _TURNS.reset(token)
                    inner._close()
        finally:
            lane._leave(ticket)

    def _entered(self, look: Callable[[], None]) -> tuple[DeviceLane, object]:
        """Wait for a turn, in the innermost turn of this device that is still held; the lane that gave it."""
        ticket = object()
        lane = self._innermost()
        while not lane._enter(ticket, look):
            assert lane._outer is not None, "a device's own lane is never closed"
            lane = lane._outer
        return lane, ticket

    def _innermost(self) -> DeviceLane:
        """The lane within the last turn on this device that the present code took; this one where it took none."""
        return next((held for held in reversed(_TURNS.get()) if held.device == self.device), self)

    def _enter(self, ticket: object, look: Callable[[], None]) -> bool:
        """Wait until `ticket` has the turn; False where the lane is closed, since the turn that it divides is over."""
        with self._changed:
            if self._closed:
                return False
            self._tickets.append(ticket)
            if self._tickets[0] is ticket:
                return True
        held = {lane._root for lane in _TURNS.get()}
        try:
            while True:
                look()
                self._raise_if_lost()
                self._raise_if_crosswise(held)
                with self._changed:
                    if self._tickets[0] is ticket:
                        return True
                    if self._closed:
                        break
                    self._changed.wait(LOOK)
        except BaseException:
            self._leave(ticket)
            raise
        finally:
            for lane in held:
                lane._holder_waits_for = None
        self._leave(ticket)
        return False

    def _raise_if_lost(self) -> None:
        if self._lost:
            message = f"{self._lost} still uses {self.device}"
            raise InputError(message, "start a new process, or wait until that node has ended", "device-lost")

    def _raise_if_crosswise(self, held: set[DeviceLane]) -> None:
        """Note that whoever holds some devices waits for this one, unless its holder waits for one of them.

        Raises:
            InputError: where it does.
        """
        with _CROSSWISE:
            lane: DeviceLane | None = self._root
            while lane is not None and lane not in held:
                lane = lane._holder_waits_for
            if lane is not None and self._root not in held:
                raise InputError(
                    f"a node that uses {lane.device} waits for {self.device}, which another node uses that waits for "
                    f"{lane.device}",
                    "let nodes that run nodes on another device do so on one side only",
                )
            for lane in held - {self._root}:
                lane._holder_waits_for = self._root

    def _leave(self, ticket: object) -> None:
        """Give the turn back, or stop waiting for one."""
        with self._changed:
            if self._tickets[0] is ticket:
                self._lost = ""
            self._tickets.remove(ticket)
            if self._tickets or self._closed:
                self._changed.notify_all()

    def _close(self) -> None:
        """Wait for what was started within this turn and still holds the device, and let nothing else start in it."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            while self._tickets:
                self._changed.wait()


_TURNS: ContextVar[tuple[DeviceLane, ...]] = ContextVar("turns on devices", default=())
"""The lanes within the turns that the present code holds, innermost last."""


def give_way(look: Callable[[], None]) -> None:
    """Let another process compute for a while, where the present code holds the CPU and others wait for it.

    Args:
        look: called while waiting until the CPU is free again; what it raises ends the wait.
    """
    if any(lane.device == "cpu" for lane in _TURNS.get()):
        CORES.give_way(look)


def turns_within(context: Context) -> list[DeviceLane]:
    """The lanes of turns that code in a copy of the present context has taken and holds."""
    outside = _TURNS.get()
    return [lane for lane in context.get(_TURNS, ()) if lane not in outside]


def give_up_turns(lanes: list[DeviceLane], holder: str) -> None:
    """Have those fail that wait for a device, until the turns are given back after all.

    Args:
        lanes: those within the turns.
        holder: what holds them, for the message.
    """
    for inner in lanes:
        assert inner._outer is not None, "only turns are given up"
        with inner._outer._changed:
            inner._outer._lost = holder
            inner._outer._changed.notify_all()


_CROSSWISE = threading.Lock()
"""Held while it is looked at, and noted, who waits for which device, so that one of two notices the other."""

_LANES: dict[str, DeviceLane] = {}


def lane_of(device: str) -> DeviceLane:
    """The lane of a device, the same one for every engine of this process."""
    return _LANES.setdefault(device, DeviceLane(device))
