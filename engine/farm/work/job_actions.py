"""What people do with a job that was submitted: pause, resume, cancel it, try failed items again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from weft.engine.farm.work.ledger import Ledger


def pause(ledger: Ledger) -> None:
    """Let workers finish their current item and take no more."""
    ledger.set_state("paused")


def resume(ledger: Ledger) -> None:
    """Let workers take items again."""
    ledger.change(["cancelled"], "waiting")
    ledger.set_state("running")


def cancel(ledger: Ledger) -> None:
    """Cancel all waiting items. Published items are kept."""
    ledger.change(["waiting"], "cancelled")
    ledger.set_state("cancelled")


def retry(ledger: Ledger) -> int:
    """Queue every failed item again, with its failures forgotten; how many."""
    return ledger.change(["failed"], "waiting")


ACTIONS: Mapping[str, Callable[[Ledger], object]] = {
    "pause": pause,
    "resume": resume,
    "cancel": cancel,
    "retry": retry,
}
"""By the names that the command line and the server give them."""
