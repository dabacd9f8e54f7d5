"""Connections of a server: how many there may be, and how long one may be open without a request.

Whoever reaches the port can open them, token or none, and each is an open file of the process.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any, ClassVar

from weft.engine.serve.unread_answers import ImpatientHTTP

MOST_CONNECTIONS = 2000
"""Connections at a time, as far as the process may open as many files."""

ACCEPTED = 256
"""Connections that are accepted in one go, and that may wait for that."""

OTHER_FILES = ACCEPTED + 250
"""Open files that are left for what connections are not, and for those that are accepted and ended at once."""

REQUEST_SECONDS = 30.0
"""How long the line and the headers of a request may take to come."""


class BoundedHTTP(ImpatientHTTP):
    """HTTP over a connection that is ended where no whole request comes in time.

    Where there are too many, the one that was silent for longest is ended.
    """

    transport: Any
    most: ClassVar[int] = MOST_CONNECTIONS
    _silent: ClassVar[dict[BoundedHTTP, asyncio.TimerHandle]] = {}
    """Those that wait for a request, the oldest first, each with what ends it."""

    def connection_made(self, transport: Any) -> None:
        """A connection begins."""
        super().connection_made(transport)
        self._await_request()
        if len(self.connections) > self.most:
            next(iter(self._silent), self)._end_silent()

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._await_request()
        else:
            self._await_nothing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._await_nothing()
        super().connection_lost(exc)

    def _await_request(self) -> None:
        if self not in self._silent:
            self._silent[self] = asyncio.get_running_loop().call_later(REQUEST_SECONDS, self._end_silent)

    def _await_nothing(self) -> None:
        if timer := self._silent.pop(self, None):
            timer.cancel()

    def _end_silent(self) -> None:
        self._await_nothing()
        if self.transport.get_protocol() is self:  # and no WebSocket by now
            self.transport.abort()


def most_connections() -> int:
    """How many connections there may be; the process may open as many files from now on as the system lets it."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OTHER_FILES
    if resource.RLIM_INFINITY != soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(MOST_CONNECTIONS, soft - OTHER_FILES))
