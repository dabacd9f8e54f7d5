"""The events of a run as they happen: as server-sent events, and over a WebSocket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from weft.engine.serve.answers import Refused
from weft.engine.serve.event_log import Numbered
from weft.engine.serve.route_tools import previews, run_of, service_of, whole
from weft.engine.serve.served_run import ServedRun
from weft.engine.serve.service import Service
from weft.engine.unicode_text import json_text

PAUSE = 10.0
"""Seconds after which a line is sent that says nothing, so that whoever passes the stream on keeps it open."""

MOST_AFTER = 10**12
"""The greatest number of an event that may be asked for."""


def event_stream(service: Service, run: ServedRun, after: int, pictures: bool, status: int = 200) -> StreamingResponse:
    """The events of a run as `text/event-stream`; the last one is `ended`, with the run.

    Args:
        after: the number of the event that the caller got last.
        pictures: whether reports of progress have their previews.
    """

    async def lines() -> AsyncIterator[bytes]:
        async for one in followed(service, run, after, pictures):
            yield b": waiting\n\n" if one is None else _lines(one)

    headers = {"cache-control": "no-store", "x-accel-buffering": "no", "location": f"/api/runs/{run.id}"}
    return StreamingResponse(lines(), status, headers, "text/event-stream")


async def followed(service: Service, run: ServedRun, after: int, pictures: bool) -> AsyncIterator[Numbered | None]:
    """The events of a run after a number, to the last one; None now and then where nothing happens."""
    log = service.logs.find(run.id) if run.over else service.logs.of(run.id)
    if log is None:
        yield after + 1, {"event": "ended", "run": run.plain()}
        return
    known = log.after(0)
    if known and known[-1][0] < after:
        after = 0  # of an earlier server
    async for one in log.follow(after, previews=pictures, pause=PAUSE):
        yield one


def _lines(one: Numbered) -> bytes:
    number, event = one
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, str(event["event"]).encode(), json_text(dict(event)))


async def run_socket(socket: WebSocket) -> None:
    """The events of a run as JSON texts over a WebSocket; `?after=NUMBER&previews=1`."""
    try:
        run, wanted, after = run_of(socket), previews(socket), whole(socket, "after", 0, 0, MOST_AFTER)
    except Refused:
        await socket.close(1008)
        return
    offered: list[str] = socket.scope.get("subprotocols", [])
    await socket.accept("weft" if "weft" in offered else None)
    try:
        async for one in followed(service_of(socket), run, after, wanted):
            message: dict[str, Any] = {"event": "waiting"} if one is None else {"number": one[0], **one[1]}
            await socket.send_text(json_text(message).decode())
        await socket.close()
    except (WebSocketDisconnect, RuntimeError):  # whoever followed has left
        return
