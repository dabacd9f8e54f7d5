"""The events of a run as they happen: as server-sent events, and over a WebSocket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, suppress

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from weft.engine.latest_entries import LatestEntries
from weft.engine.serve.answers import Refused
from weft.engine.serve.event_log import Numbered
from weft.engine.serve.followers import while_connected
from weft.engine.serve.route_tools import caller_of, previews, run_of, service_of, whole
from weft.engine.serve.served_run import ServedRun
from weft.engine.serve.service import Service
from weft.engine.unicode_text import json_text

PAUSE = 10.0
"""Seconds after which a line is sent that says nothing, so that whoever passes the stream on keeps it open."""

MOST_AFTER = 10**12
"""The greatest number of an event that may be asked for."""


class _Followed(StreamingResponse):
    """A stream that gives up its place among the followers as soon as whoever follows has left."""

    def __init__(self, lines: AsyncIterator[bytes], headers: Mapping[str, str], place: AbstractContextManager[object]):
        super().__init__(lines, 200, headers, "text/event-stream")
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place, suppress(ClientDisconnect, OSError):
            await while_connected(receive, self.stream_response(send))


def event_stream(
    service: Service, run: ServedRun, after: int, pictures: bool, place: AbstractContextManager[object]
) -> StreamingResponse:
    """The events of a run as `text/event-stream`; the last one is `ended`, with the run.

    Args:
        after: the number of the event that the caller got last.
        pictures: whether reports of progress have their previews.
        place: among the followers, which is left at the end.
    """

    async def lines() -> AsyncIterator[bytes]:
        async for events in followed(service, run, after, pictures):
            yield b"".join([_lines(run, one, pictures) for one in events]) or b": waiting\n\n"

    headers = {"cache-control": "no-store", "x-accel-buffering": "no", "location": f"/api/runs/{run.id}"}
    return _Followed(lines(), headers, place)


async def followed(service: Service, run: ServedRun, after: int, pictures: bool) -> AsyncIterator[list[Numbered]]:
    """The events of a run after a number, to the last one; none now and then where nothing happens."""
    log = service.logs.find(run.id) if run.over else service.logs.of(run.id)
    if log is None:
        yield [(after + 1, {"event": "ended", "run": run.plain()})]
        return
    known = log.after(0)
    if known and known[-1][0] < after:
        after = 0  # of an earlier server
    pace = lambda: service.followers.count / MOST_SENT  # noqa: E731 - with few followers events come as they happen
    async for events in log.follow(after, previews=pictures, pause=PAUSE, pace=pace):
        yield events


MOST_SENT = 2000
"""How often in a second something is sent to followers, to all of them together: each time all that happened since."""

_TEXTS = LatestEntries[tuple[str, int, bool], bytes](300)
"""The latest events as JSON, by run, number and whether with previews: who follows the same run gets the same bytes."""


def _text(run: ServedRun, one: Numbered, pictures: bool) -> bytes:
    number, event = one
    key = run.id, number, pictures and "preview" in event
    text = _TEXTS.get(key)
    if text is None:
        text = json_text(dict(event))
        _TEXTS.put(key, text)
    return text


def _lines(run: ServedRun, one: Numbered, pictures: bool) -> bytes:
    number, event = one
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, str(event["event"]).encode(), _text(run, one, pictures))


async def run_socket(socket: WebSocket) -> None:
    """The events of a run as JSON texts over a WebSocket; `?after=NUMBER&previews=1`."""
    try:
        run, wanted, after = run_of(socket), previews(socket), whole(socket, "after", 0, 0, MOST_AFTER)
    except Refused:
        await socket.close(1008)
        return
    try:
        with service_of(socket).followers.place(caller_of(socket)):
            offered: list[str] = socket.scope.get("subprotocols", [])
            await socket.accept("weft" if "weft" in offered else None)
            await while_connected(socket.receive, _sent(socket, run, after, wanted))
    except Refused as refused:
        await _denied(socket, refused)
    except (WebSocketDisconnect, RuntimeError, OSError):  # whoever followed has left
        return


async def _sent(socket: WebSocket, run: ServedRun, after: int, pictures: bool) -> None:
    """Send the events of a run, and end the socket after the last one."""
    with suppress(WebSocketDisconnect, RuntimeError, OSError):
        async for events in followed(service_of(socket), run, after, pictures):
            for one in events:
                text = b'{"number":%d,%s' % (one[0], _text(run, one, pictures)[1:])
                await socket.send_text(text.decode())
            if not events:
                await socket.send_text('{"event":"waiting"}')
        await socket.close()


async def _denied(socket: WebSocket, refused: Refused) -> None:
    """Answer a socket that is not accepted, with the reason where the server can."""
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(refused.answer())
    else:
        await socket.close(1013)
