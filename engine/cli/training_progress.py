"""The progress of a training for people: a line now and then, with the loss, its mean, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from weft.engine import events
from weft.engine.cli.output import say
from weft.engine.cli.progress_bar import ProgressBar

EVERY = 10.0
"""Seconds from one line to the next at least; it is a twentieth of the time that the training has taken."""

SHARE = 0.05
"""The share of a step in the mean of a number."""


@dataclass
class TrainingProgress:
    """A listener that prints a line now and then about a node that reports numbers; of others it shows what runs show.

    Args:
        now: the time in seconds.
    """

    now: Callable[[], float] = time.monotonic
    _others: ProgressBar = field(default_factory=ProgressBar)
    _node: str = ""
    _began: float = 0.0
    _first: int = 0
    _due: float = 0.0
    _means: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> TrainingProgress:
        self._others.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._others.__exit__(kind, fault, at)

    def __call__(self, event: events.Event) -> None:
        """Show one event."""
        if not isinstance(event, events.NodeProgress) or not event.measured:
            self._others(event)
        elif line := self.line(event):
            say(line)

    def line(self, event: events.NodeProgress) -> str:
        """What is to be shown of a step; empty where the last line is too young."""
        now = self.now()
        resumed = self._begin(event, now)
        for name, one in event.measured.items():
            self._means[name] = self._means.get(name, one) * (1 - SHARE) + one * SHARE
        if now < self._due and event.step < event.steps:
            return ""
        self._due = now + max(EVERY, (now - self._began) / 20)
        numbers = [f"{name} {one:.4g} (mean {self._means[name]:.4g})" for name, one in event.measured.items()]
        left = [] if event.step == event.steps else [self._left(event, now)]
        done = f"{event.node}: step {event.step:,} of {event.steps:,}{resumed}"
        return ", ".join([done, *numbers, *filter(None, left)])

    def _begin(self, event: events.NodeProgress, now: float) -> str:
        """Begin again where another node reports; gives a text where it goes on from an earlier run."""
        if event.node == self._node and event.step >= self._first:
            return ""
        self._node, self._began, self._first, self._due, self._means = event.node, now, event.step, now, {}
        return " (going on from an earlier run)" if event.step > 1 else ""

    def _left(self, event: events.NodeProgress, now: float) -> str:
        done = event.step - self._first
        return f"{shown_time((now - self._began) / done * (event.steps - event.step))} left" if done else ""


def shown_time(seconds: float) -> str:
    """A time for people: `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
