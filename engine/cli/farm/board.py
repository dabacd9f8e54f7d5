"""The progress of a job for people: on a terminal a board that is redrawn in place, elsewhere lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TextIO

from weft.engine.cli.output import json_line, say
from weft.engine.farm.report.job_progress import JobProgress
from weft.engine.farm.work.ledger import Ledger

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

Show = Callable[[JobProgress, Ledger], None]

MOST_FAILURES = 4
"""The most failures that a board lists."""

_STYLES = {"running": "cyan", "finished": "green", "paused": "yellow", "cancelled": "yellow", "stopped": "red"}


@contextmanager
def shown_on(stream: TextIO, otherwise: Show) -> Iterator[Show]:
    """Shows a job on a board if the stream is a terminal, and by `otherwise` if not."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield otherwise
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(file=stream), transient=True) as live:
        yield lambda current, ledger: live.update(board(current, _names(ledger)))


def changes(json: bool) -> Show:
    """Prints a line whenever the counts change: JSON on stdout, or text on stderr."""
    last = [""]

    def show(current: JobProgress, ledger: Ledger) -> None:
        if f"{current.counts}" != last[0]:
            last[0] = f"{current.counts}"
            json_line({"event": "progress", **current.plain()}) if json else say(str(current).splitlines()[0])

    return show


def _names(ledger: Ledger) -> dict[str, str]:
    """The names of the leased items, by id."""
    return {entry.id: entry.name for entry in ledger.entries("leased")}


def board(current: JobProgress, names: Mapping[str, str]) -> Group:
    """A job at one moment: its state and progress, a line for each worker, and the latest failures.

    Args:
        names: of the leased items, by id.
    """
    from rich.console import Group
    from rich.text import Text

    head = Text.assemble(
        (current.title or "job", "bold"), "  ", (current.state, f"bold {_STYLES.get(current.state, '')}")
    )
    cause = [Text(f"  {current.cause}", "red")] if current.state == "stopped" and current.cause else []
    return Group(head, *cause, _measure(current), *_workers(current, names), *_failures(current))


def _measure(current: JobProgress) -> Table:
    """The progress bar with its figures."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(ratio=1)
    figures = [
        Text(f"{current.ended}/{current.total}", "bold"),
        Text(f"{current.rate:.2f} it/s" if current.rate else "- it/s"),
        Text(f"ETA {timedelta(seconds=round(current.left))}" if current.left is not None else "ETA -"),
        Text(f"{len(current.failures)} failed", "bold red" if current.failures else "dim"),
    ]
    for _ in figures:
        grid.add_column(no_wrap=True)
    grid.add_row(ProgressBar(total=max(current.total, 1), completed=current.ended), *figures)
    return grid


def _workers(current: JobProgress, names: Mapping[str, str]) -> Iterator[Text]:
    for worker, item in current.workers.items():
        doing = "quarantined: it fails where others succeed" if worker in current.quarantined else "waiting"
        yield _line(f"  {worker:<16}  {names.get(item, item[:16]) or doing}")


def _failures(current: JobProgress) -> Iterator[Text]:
    for _, name, error in current.failures[-MOST_FAILURES:]:
        yield _line(f"  failed  {name}: {' '.join(error.split())}", "red")
    if len(current.failures) > MOST_FAILURES:
        yield _line(f"  and {len(current.failures) - MOST_FAILURES} more before them", "red")


def _line(text: str, style: str = "") -> Text:
    """Text that is cut at the width of the terminal."""
    from rich.text import Text

    return Text(text, style, no_wrap=True, overflow="ellipsis")
