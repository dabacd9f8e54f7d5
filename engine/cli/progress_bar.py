"""The progress of a run for people: a line for each finished node, and a bar with it/s for the running one.

A preview, if there is one, is drawn under the bar. All of it goes to stderr, so that stdout has the written paths only.
There is no bar if stderr is no terminal.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from weft.engine import events
from weft.engine.cli.output import say, say_warnings
from weft.engine.errors import Problem
from weft.engine.quantities import shown_size

if TYPE_CHECKING:
    from rich.live import Live
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

MOST_COLUMNS = 64
"""The greatest width of a preview; it is at most half as high as the terminal."""


@dataclass
class StepRate:
    """The steps a second of one node since its first report; what it did before, such as loading, does not count."""

    _node: str = ""
    _first: int = 0
    _since: float = 0.0

    def after(self, node: str, step: int, now: float) -> str:
        """The rate as text after a step; empty where it is not known yet.

        Args:
            now: in seconds.
        """
        if node != self._node or step < self._first or not self._since:
            self._node, self._first, self._since = node, step, now
        if step == self._first or now <= self._since:
            return ""
        return f"{(step - self._first) / (now - self._since):.2f} it/s"


class ProgressBar:
    """A listener that shows a run."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._live: Live | None = None
        self._task: TaskID | None = None
        self._rate = StepRate()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._close_bar()

    def __call__(self, event: events.Event) -> None:
        """Show one event."""
        match event:
            case events.NodeCached(node, type, tier):
                self._line("cached", node, type, f"from {'memory' if tier == 'memory' else 'the store'}")
            case events.NodeProgress(node, type, step, steps, preview) if sys.stderr.isatty():
                self._progress(node, step, steps)
                self._show(preview)
            case events.NodeFinished(node, type, seconds, peak):
                self._close_bar()
                self._line("done", node, type, f"{seconds:.2f} s" + (f", {shown_size(peak)} at most" if peak else ""))
            case events.MemoryRelieved(node, type, action, what, freed):
                self._close_bar()
                self._line(action, node, type, f"{what} ({shown_size(freed)})" if freed else what)
            case events.NodeFailed(node, type, error):
                self._close_bar()
                self._line("FAILED", node, type, "")
                say(f"error: {error}")
            case events.NodeBlocked(node, type, by):
                self._line("blocked", node, type, f"by {by}")
            case events.NodeAudited(node, type, differ):
                self._line("DIFFERS" if differ else "same", node, type, ", ".join(differ))
            case events.StoreDamaged(node, type, reason):
                self._line("damaged", node, type, f"{reason}; computing it again")
            case events.FileChanged(node, type, path):
                self._close_bar()
                self._line("changed", node, type, f"{path} was changed meanwhile; planning again")
            case events.WarningGiven(node, input, message, hint):
                self._close_bar()
                say_warnings([Problem(message, hint, node, input)])
            case events.RunFinished(status, ran, cached, seconds, peak):
                self._close_bar()
                most = f", {shown_size(peak)} of memory at most" if peak else ""
                say(f"{status}: {ran} ran, {cached} cached, {seconds:.2f} s{most}")

    def _line(self, state: str, node: str, type: str, detail: str) -> None:
        say(f"{state:<8} {node:<20} {type:<16} {detail}".rstrip())

    def _progress(self, node: str, step: int, steps: int) -> None:
        if self._bar is None:
            self._open_bar(node, steps)
        assert self._bar is not None and self._task is not None
        rate = self._rate.after(node, step, time.perf_counter())
        self._bar.update(self._task, description=node, completed=step, total=steps, rate=rate)

    def _show(self, preview: bytes) -> None:
        """Draw a preview under the bar."""
        from rich.console import Group

        from weft.engine.cli.blocks import to_blocks

        assert self._live is not None and self._bar is not None
        if preview:
            size = self._live.console.size
            blocks = to_blocks(preview, min(size.width, MOST_COLUMNS), max(1, size.height // 2))
            self._live.update(Group(self._bar, blocks))

    def _open_bar(self, node: str, steps: int) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("running  {task.description:<20}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        self._bar = RichProgress(*columns, console=console)
        self._live = Live(self._bar, console=console, transient=True)
        self._live.start()
        self._task = self._bar.add_task(node, total=steps, rate="")
        self._rate = StepRate()

    def _close_bar(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._bar = self._live = self._task = None
