"""Committing an attempt: its files are published and its outcome is written to the ledger.

This waits for the disk, so a worker does it in a thread while its next attempt runs.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from weft.engine.errors import StoreError, described, message_of
from weft.engine.farm.work.attempt import AttemptOutcome, Log, opened_log
from weft.engine.farm.work.ledger import Entry, Ledger


def commit(ledger: Ledger, worker: str, entry: Entry, outcome: AttemptOutcome) -> bool:
    """Write the outcome of an attempt to a ledger; whether that published the item."""
    outcome = outcome.ready()
    try:
        if outcome.unkept:
            ledger.warn(outcome.unkept)
        if outcome.cause:
            ledger.stop(outcome.cause)
        elif outcome.error:
            ledger.fail(worker, entry, outcome.error, outcome.exhausted)
        elif outcome.staged:
            return _published(ledger, worker, entry, outcome)
    except (StoreError, OSError) as fault:
        outcome.clear()
        ledger.stop(message_of(fault))
    except Exception as fault:
        ledger.fail(worker, entry, described(fault))
    finally:
        outcome.clear()
    return False


def _published(ledger: Ledger, worker: str, entry: Entry, outcome: AttemptOutcome) -> bool:
    assert outcome.staged
    published = ledger.complete(worker, entry, outcome.seconds, outcome.staged.publish)
    with opened_log(ledger.path.parent.parent, entry) as log:
        Log(log).write(event="published" if published else "refused", item=entry.id, attempt=entry.attempt)
    return published


class Committer:
    """Commits the attempts of one worker in a thread, one after the other.

    Args:
        path: the ledger's.
    """

    def __init__(self, path: Path, worker: str) -> None:
        self._worker = worker
        self._ledger = Ledger(path)
        self._thread = ThreadPoolExecutor(1, "committer")
        self._last: Future[bool] | None = None
        self.done = 0
        """Items that were published, of those that are committed."""

    def take(self, entry: Entry, outcome: AttemptOutcome) -> None:
        """Commit an attempt, once the one before is committed; one that failed at once, since it may end the job."""
        self.wait()
        self._last = self._thread.submit(commit, self._ledger, self._worker, entry, outcome)
        if outcome.finished is None:
            self.wait()

    def wait(self) -> None:
        """Wait until all is committed.

        Raises:
            StoreError: where the ledger cannot be written.
        """
        last, self._last = self._last, None
        if last:
            self.done += last.result()

    def close(self) -> None:
        """Wait for the last one, and close thread and ledger."""
        with suppress(StoreError):
            self.wait()
        self._thread.shutdown()
        self._ledger.close()
