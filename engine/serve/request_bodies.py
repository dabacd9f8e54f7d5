"""Reads the bodies of requests: within a size and a time, as they are."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import orjson
from starlette.requests import ClientDisconnect, Request

from weft.engine.serve.answers import Refused

JSON_SECONDS = 30.0
"""How long the body of a request in JSON may take to come."""

STALL_SECONDS = 20.0
"""How long nothing may come of a file."""

FIRST_SECONDS, LEAST_RATE = 60.0, 10_000
"""A file that has not come after so many seconds comes by so many bytes a second, or not at all."""


def check_plain(request: Request) -> None:
    """Refuse a body that would have to be unpacked.

    Raises:
        Refused: 415.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "packed-body", "the body is packed", "send it as it is")


async def read_json_body(request: Request, most: int) -> Any:
    """The body of a request as JSON values.

    Raises:
        Refused: where it is no JSON, has more than `most` bytes, or does not come in time.
    """
    check_plain(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "wrong-content-type", "the body is no JSON", "send Content-Type: application/json")
    try:
        with anyio.fail_after(JSON_SECONDS):
            content = b"".join([chunk async for chunk in chunks_of(request, most)])
    except TimeoutError:
        raise Refused(408, "slow-body", f"the body did not come within {JSON_SECONDS:g} s") from None
    try:
        return orjson.loads(content)
    except ValueError as fault:
        raise Refused(400, "not-json", f"the body is no JSON: {fault}") from None


async def chunks_of(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body of a request as it comes.

    Raises:
        Refused: where it has more than `most` bytes, stalls, comes too slowly or breaks off.
    """
    size, began = 0, time.monotonic()
    length = request.headers.get("content-length", "")
    if len(length) > 15 or (length.isdecimal() and int(length) > most):
        raise _too_large(most)
    stream = request.stream().__aiter__()
    while True:
        try:
            with anyio.fail_after(STALL_SECONDS):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refused(408, "slow-body", f"nothing of the body came for {STALL_SECONDS:g} s") from None
        except ClientDisconnect:
            raise Refused(400, "half-sent", "the body broke off") from None
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        if time.monotonic() - began > FIRST_SECONDS + size / LEAST_RATE:
            raise Refused(408, "slow-body", f"the body comes by less than {LEAST_RATE:,} bytes a second")
        yield chunk


def _too_large(most: int) -> Refused:
    return Refused(413, "too-large", f"the body has more than {most:,} bytes", "send less")
