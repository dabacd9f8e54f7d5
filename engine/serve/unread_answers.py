"""Connections whose other end does not read are ended, so that what waits to be sent does not stay in memory."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

UNREAD_SECONDS = 60.0
"""For so long nothing of an answer need be taken; whoever follows a run comes back with `Last-Event-ID`."""


class Impatient:
    """A protocol of asyncio that ends its connection where nothing of what is to be sent is taken for a while.

    The transport says when more waits than it holds (some 64 kB) and when that is gone; in between it is looked at
    whether it becomes less, with what the system holds, so that a large answer over a slow line comes through.
    """

    transport: Any
    _look: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """More waits to be sent than the transport holds."""
        super().pause_writing()  # type: ignore[misc]
        self._begin()

    def resume_writing(self) -> None:
        """There is room again."""
        super().resume_writing()  # type: ignore[misc]
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._end()
        super().connection_lost(exc)  # type: ignore[misc]

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._look = loop.call_later(UNREAD_SECONDS, self._compare, self._left())

    def _end(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _compare(self, before: int) -> None:
        if self._left() < before:
            self._begin()
        else:
            self.transport.abort()

    def _left(self) -> int:
        """The bytes that are still to be taken."""
        here: int = self.transport.get_write_buffer_size()
        return here + _unacknowledged(self.transport.get_extra_info("socket"))


def _unacknowledged(socket: Any) -> int:
    """The bytes of a connection that the system holds; 0 where it does not say."""
    if sys.platform == "win32":
        return 0
    import fcntl
    import termios

    try:
        found = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, AttributeError):  # no socket of this kind, or none any more
        return 0
    return int.from_bytes(found, sys.byteorder)


class ImpatientHTTP(Impatient, AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """HTTP."""


if AutoWebSocketsProtocol is None:
    IMPATIENT_SOCKETS: Any = "none"
else:

    class _ImpatientWebSocket(Impatient, AutoWebSocketsProtocol):  # type: ignore[misc, valid-type]
        """WebSockets."""

    IMPATIENT_SOCKETS = _ImpatientWebSocket
"""What serves WebSockets, for uvicorn."""
