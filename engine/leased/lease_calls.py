"""The requests of a worker to a server, each sent again while the server is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from weft.engine.client.server_calls import ServerCalls, Unreachable
from weft.engine.errors import InputError
from weft.engine.serve.event_log import Numbered
from weft.engine.serve.run_recipe import RunRecipe

T = TypeVar("T")

LONGEST_PAUSE = 10.0
"""Seconds between two tries, at most."""


class LeaseGone(Exception):  # noqa: N818 - a state rather than a fault
    """The lease of a run has ended: the run is somebody else's by now, or over."""


class GivenUp(Exception):  # noqa: N818 - a state rather than a fault
    """A request was not answered for as long as there was patience."""


@dataclass(frozen=True)
class LeaseCalls:
    """Sends requests about leases.

    Args:
        over: whether nothing is to be tried again.
    """

    calls: ServerCalls
    over: Callable[[], bool]

    def take(self, worker: Mapping[str, Any], wait: float) -> dict[str, Any] | None:
        """The next run; None where none waits.

        Raises:
            Unreachable: where the server does not answer now.
            InputError: where it refuses.
        """
        with self.calls.opened(f"/api/leases?wait={wait:g}", worker) as answer:
            if answer.status == 204:
                return None
            found: dict[str, Any] = self.calls.parsed(answer)
            return found

    def renew(self, lease: str, after: int, events: Sequence[Numbered], wait: float = 0.0) -> dict[str, Any]:
        """Send the events after a number, or nothing, and extend the lease; what the server says to that."""
        body = {"after": after, "events": [[number, dict(event)] for number, event in events]}
        found: dict[str, Any] = self._known(lambda: self.calls.json(f"/api/leases/{lease}?wait={wait:g}", body))
        return found

    def planned(self, lease: str, recipe: RunRecipe) -> bool:
        """Say what decides the result of a run; whether an earlier one has that already, so that this one has ended."""
        body = {"recipe": recipe._asdict()}
        return bool(self._known(lambda: self.calls.json(f"/api/leases/{lease}/plan", body))["known"])

    def fetch(self, lease: str, name: str, path: Path, size: int) -> None:
        """A file that the graph names, of so many bytes at most."""
        self._known(lambda: self.calls.fetch(f"/api/leases/{lease}/inputs/{quote(name)}", path, size))

    def send(self, lease: str, name: str, path: Path, digest: str) -> None:
        """Send a file of the result."""
        address = f"/api/leases/{lease}/files/{quote(name)}?digest={digest}"
        self._known(lambda: self.calls.put(address, path))

    def end(self, lease: str, body: Mapping[str, Any]) -> None:
        """Say how the run ended."""
        self._known(lambda: self.calls.json(f"/api/leases/{lease}/end", body))

    def _known(self, call: Callable[[], T]) -> T:
        """What a request answers.

        Raises:
            LeaseGone: where there is no such lease.
        """
        try:
            return call()
        except InputError as refused:
            if refused.code == "lease-lost":
                raise LeaseGone from None
            raise

    def patiently(self, call: Callable[[], T], seconds: float) -> T:
        """What a request answers, which is sent again while the server is away.

        Raises:
            GivenUp: where it is away for so many seconds, or nothing is to be tried again.
        """
        until, tried = time.monotonic() + seconds, 0
        while True:
            try:
                return call()
            except Unreachable as fault:
                pause = pause_after(fault, tried)
                if time.monotonic() + pause > until or self.over():
                    raise GivenUp(str(fault)) from None
            time.sleep(pause)
            tried += 1


def pause_after(fault: Unreachable, tried: int) -> float:
    """Seconds after which a request is sent again: more with each try, so that a server that comes back is not run
    over."""
    return min(0.1 * 2 ** min(tried, 10), LONGEST_PAUSE) if fault.seconds is None else min(fault.seconds, LONGEST_PAUSE)
