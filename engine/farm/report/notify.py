"""Telling others how a job goes: a command that gets JSON on its input, or a web address that it is posted to.

Only the command line and the settings (`WEFT_NOTIFY`) name who is notified. A job file cannot: a stranger's could run
a command, or have this machine send requests into its network. A listener that cannot be reached changes nothing.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from weft.engine.farm.report.job_progress import JobProgress
from weft.engine.unicode_text import json_text

PATIENCE = 20.0
"""Seconds that a command or an answer may take."""

MAX_FAILURES = 20
"""The most failures that a message names."""

Event = Literal["job_failing", "job_finished", "job_failed", "job_interrupted"]


def message(event: Event, folder: Path, job: JobProgress) -> dict[str, Any]:
    """The message about a job; `text` is for people, in the field that chats show."""
    failures = [{"number": number, "name": name, "error": error} for number, name, error in job.failures]
    return {
        "event": event,
        "text": str(job).splitlines()[0],
        "title": job.title,
        "folder": str(folder.resolve()),
        "state": job.state,
        "cause": job.cause,
        "counts": dict(job.counts),
        "total": job.total,
        "failures": failures[:MAX_FAILURES],
        "failed": len(failures),
    }


@dataclass
class Notifier:
    """Tells of the first failure as it happens, and of the end; in threads, so that no item waits for it.

    Args:
        listeners: commands and web addresses.
        complain: called with who could not be reached, and why.
    """

    listeners: Sequence[str]
    folder: Path
    complain: Callable[[str], None]
    _threads: list[threading.Thread] = field(default_factory=list)
    _before: int | None = None

    def look(self, job: JobProgress) -> None:
        """Tell of the first failure since the first look; called now and then."""
        if self._before is None:
            self._before = len(job.failures)
        if len(job.failures) > self._before and not self._threads:
            self._tell("job_failing", job)

    def end(self, job: JobProgress, interrupted: bool = False, cause: str = "") -> None:
        """Tell how the job ended, and wait until every message was sent.

        Args:
            cause: why it could not be worked at, where that is so.
        """
        failed = cause or job.failures or job.state != "finished"
        event: Event = "job_interrupted" if interrupted else "job_failed" if failed else "job_finished"
        self._tell(event, replace(job, cause=cause or job.cause))
        for thread in self._threads:
            thread.join()

    def _tell(self, event: Event, job: JobProgress) -> None:
        content = json_text(message(event, self.folder, job))
        for listener in self.listeners:
            thread = threading.Thread(target=self._send, args=(listener, content), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _send(self, listener: str, content: bytes) -> None:
        try:
            (_post if is_address(listener) else _execute)(listener, content)
        except (OSError, ValueError, subprocess.SubprocessError) as fault:
            self.complain(f"could not tell `{shown(listener)}` how the job goes: {_cause(fault)}")


def is_address(listener: str) -> bool:
    """Whether it is a web address, not a command."""
    return listener.lower().startswith(("http://", "https://"))


def shown(listener: str) -> str:
    """A listener as a message names it: addresses of hooks are secrets, so of these the host alone."""
    if not is_address(listener):
        return listener
    try:
        return urlsplit(listener).hostname or "a web address"
    except ValueError:
        return "a web address"


def _cause(fault: Exception) -> str:
    if isinstance(fault, subprocess.CalledProcessError):
        return f"it ended with exit code {fault.returncode}"
    if isinstance(fault, subprocess.TimeoutExpired):
        return f"it did not end within {fault.timeout:.0f} s"
    return str(fault) if isinstance(fault, OSError) else "it, or its answer, is not well formed"


def _post(address: str, content: bytes) -> None:
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(address, content, {"Content-Type": "application/json"}), timeout=PATIENCE) as answer:
            answer.read(1)
    except HTTPException as fault:
        raise ValueError(type(fault).__name__) from None


def _execute(command: str, content: bytes) -> None:
    words = shlex.split(command, posix=os.name != "nt")
    subprocess.run(words, input=content, timeout=PATIENCE, check=True, stdout=subprocess.DEVNULL)
