"""A job as a person sees it while it runs: on a terminal one board that is redrawn in place, elsewhere lines."""

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
"""How many failures a board names."""

_STYLES = {"running": "cyan", "finished": "green", "paused": "yellow", "cancelled": "yellow", "stopped": "red"}


@contextmanager
def shown_on(stream: TextIO, otherwise: Show) -> Iterator[Show]:
    """How a job is shown: by a board where the stream is a terminal, and as said where it is none."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield otherwise
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(file=stream), transient=True) as live:
        yield lambda told, ledger: live.update(board(told, _names(ledger)))


def changes(json: bool) -> Show:
    """Shows a job by a line whenever its counts have changed: JSON on stdout, or for people on stderr."""
    last = [""]

    def show(told: JobProgress, ledger: Ledger) -> None:
        if f"{told.counts}" != last[0]:
            last[0] = f"{told.counts}"
            json_line({"event": "progress", **told.plain()}) if json else say(str(told).splitlines()[0])

    return show


def _names(ledger: Ledger) -> dict[str, str]:
    """The names of the items that are leased, by id."""
    return {entry.id: entry.name for entry in ledger.entries("leased")}


def board(told: JobProgress, names: Mapping[str, str]) -> Group:
    """A job at one moment: its state, how far it is, a line for each worker, and what failed last.

    Args:
        names: of the items that workers may be at, by id.
    """
    from rich.console import Group
    from rich.text import Text

    head = Text.assemble((told.title or "job", "bold"), "  ", (told.state, f"bold {_STYLES.get(told.state, '')}"))
    cause = [Text(f"  {told.cause}", "red")] if told.state == "stopped" and told.cause else []
    return Group(head, *cause, _measure(told), *_workers(told, names), *_failures(told))


def _measure(told: JobProgress) -> Table:
    """The bar with its figures."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(ratio=1)
    figures = [
        Text(f"{told.ended}/{told.total}", "bold"),
        Text(f"{told.rate:.2f} it/s" if told.rate else "- it/s"),
        Text(f"ETA {timedelta(seconds=round(told.left))}" if told.left is not None else "ETA -"),
        Text(f"{len(told.failures)} failed", "bold red" if told.failures else "dim"),
    ]
    for _ in figures:
        grid.add_column(no_wrap=True)
    grid.add_row(ProgressBar(total=max(told.total, 1), completed=told.ended), *figures)
    return grid


def _workers(told: JobProgress, names: Mapping[str, str]) -> Iterator[Text]:
    for worker, item in told.workers.items():
        doing = "quarantined: it fails where others do not" if worker in told.quarantined else "waits"
        yield _line(f"  {worker:<16}  {names.get(item, item[:16]) or doing}")


def _failures(told: JobProgress) -> Iterator[Text]:
    for _, name, error in told.failures[-MOST_FAILURES:]:
        yield _line(f"  failed  {name}: {' '.join(error.split())}", "red")
    if len(told.failures) > MOST_FAILURES:
        yield _line(f"  and {len(told.failures) - MOST_FAILURES} more before them", "red")


def _line(text: str, style: str = "") -> Text:
    """Text that is cut where the terminal ends."""
    from rich.text import Text

    return Text(text, style, no_wrap=True, overflow="ellipsis")
