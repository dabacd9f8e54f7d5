"""The listener of a run on the command line: JSON lines or a progress bar, and preview files if a folder is given."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from weft.engine import events
from weft.engine.atomic_write import replace_file
from weft.engine.cli.output import json_line, writing
from weft.engine.cli.progress_bar import ProgressBar


class Progress(AbstractContextManager["Progress"], Protocol):
    """Shows a run while it is open."""

    def __call__(self, event: events.Event) -> None:
        """Show one event."""


@contextmanager
def listening(
    previews: Path | None, json: bool = False, progress_of: Callable[[], Progress] = ProgressBar
) -> Iterator[events.Listener]:
    """A listener that shows a run as a progress bar, or as JSON lines.

    Args:
        previews: a folder for NODE.png, the latest preview of each node; JSON lines then name the file.
        progress_of: makes what shows the run where it is not JSON lines.
    """
    with nullcontext() if json else progress_of() as progress:

        def hear(event: events.Event) -> None:
            file = _keep(event, previews) if previews else {}
            if progress:
                progress(event)
            else:
                json_line({**event.plain(), **file})

        wanted = previews is not None or (not json and shows_pictures())
        yield events.Previewed(hear) if wanted else hear


def shows_pictures() -> bool:
    """Whether stderr is a terminal with 24-bit colours."""
    return (
        sys.stderr.isatty()
        and os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit")
        and not os.environ.get("NO_COLOR")
    )


def _keep(event: events.Event, folder: Path) -> dict[str, str]:
    """Replace the preview file of a node by that of an event; gives its path as a field of the JSON line."""
    if not isinstance(event, events.NodeProgress) or not event.preview:
        return {}
    path = folder / f"{event.node}.png"
    with writing(path):
        replace_file(path, event.preview)
    return {"preview": str(path)}
