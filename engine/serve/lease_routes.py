"""What workers on other machines ask: a run to do, to go on with it, its files, its end. All need the scope `work`.

POST /api/leases                      the next run, or 204 after `?wait=SECONDS` where none waits
POST /api/leases/LEASE                events; extends the lease, says whether to stop; `?wait=SECONDS` waits for that
POST /api/leases/LEASE/plan           the recipe of its plan; answers whether an earlier run has given the result
GET  /api/leases/LEASE/inputs/NAME    a file that the graph names
PUT  /api/leases/LEASE/files/NAME     a file of the result, with `?digest=BLAKE3`
POST /api/leases/LEASE/end            how it ended, or that it is given back
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import anyio
from anyio.to_thread import run_sync
from blake3 import blake3
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from weft.engine.keys import is_digest
from weft.engine.serve.answers import Refused, json_answer, not_found, retry_later, unwritable
from weft.engine.serve.callers import NAME
from weft.engine.serve.leases import HeldRun
from weft.engine.serve.request_bodies import check_plain, chunks_of, read_json_body
from weft.engine.serve.route_tools import caller_of, number, query, service_of
from weft.engine.serve.run_queue import LeaseLost
from weft.engine.serve.seen_workers import WorkerRecord, differences
from weft.engine.serve.worker_reports import MalformedReport, recipe_given, run_end, text_of

T = TypeVar("T")

MOST_WAIT = 30.0
"""Seconds that a worker may wait for a run, or for word that it is to stop."""

MOST_TYPES = 20_000
"""Of how many node types a worker may say that it has them."""

INSTANCE = re.compile(r"[0-9a-f]{8,32}\Z")


async def take_lease(request: Request) -> Response:
    """The run that is next, for a worker that has the same versions."""
    service, leases = service_of(request), service_of(request).leases
    seconds = number(request, "wait", 0.0, 0.0, MOST_WAIT)
    worker = await _worker(request)
    if differs := differences(worker):
        hint = "install the same versions: a run gives the same on every machine"
        raise Refused(409, "worker-differs", "; ".join(differs), hint)
    until = time.monotonic() + seconds
    with service.dispatcher.waits.heard() as arrived:
        while True:
            arrived.clear()
            if not service.ready:
                raise retry_later(503, "stopping", "the server stops", 5.0)
            if await request.is_disconnected():
                return Response(status_code=204)
            if work := await run_sync(leases.take, worker):
                return json_answer(work.plain())
            if not await _rings(arrived, until):
                return Response(status_code=204)


async def _rings(arrived: asyncio.Event, until: float) -> bool:
    """Wait for a bell; whether it rang before a time of the monotonic clock."""
    left = until - time.monotonic()
    if left <= 0:
        return False
    try:
        await asyncio.wait_for(arrived.wait(), left)
    except TimeoutError:
        return False
    return True


async def _worker(request: Request) -> WorkerRecord:
    """Who asks, as the body says.

    Raises:
        Refused: where it is of another form.
    """
    caller = caller_of(request, "work")
    body = await read_json_body(request, service_of(request).options.body_bytes)
    try:
        name, instance = text_of(body, "name"), text_of(body, "instance")
        if not NAME.match(name) or not INSTANCE.match(instance):
            raise MalformedReport("a worker has a name of letters, digits, _ . -, and an instance in hexadecimal")
        devices = body.get("devices", [])
        if not isinstance(devices, list) or len(devices) > 64:
            raise MalformedReport("`devices` is no list")
        return WorkerRecord(
            caller.name,
            name,
            instance,
            _texts(body, "versions"),
            _texts(body, "types"),
            tuple(str(one)[:100] for one in devices),
            body.get("known") is True,
        )
    except MalformedReport as fault:
        raise _malformed(fault) from None


def _texts(body: Mapping[str, Any], name: str) -> Mapping[str, str]:
    found = body.get(name)
    if (
        not isinstance(found, dict)
        or len(found) > MOST_TYPES
        or not all(isinstance(one, str) for one in found.values())
    ):
        raise MalformedReport(f"`{name}` is no object of texts")
    return found


async def renew_lease(request: Request) -> Response:
    """Take events of a run; answers whether it is to stop, and whether somebody looks at previews."""
    service, leases = service_of(request), service_of(request).leases
    held = _held(request)
    seconds = number(request, "wait", 0.0, 0.0, MOST_WAIT)
    body = await read_json_body(request, service.options.body_bytes)
    given, after = (body.get("events", []), body.get("after", 0)) if isinstance(body, dict) else (None, 0)
    if not isinstance(given, list) or not isinstance(after, int):
        raise _malformed(MalformedReport("expected an object with a list of `events`, and a number `after`"))
    await _answered(lambda: leases.hear(held, after, given))
    until = time.monotonic() + seconds
    with leases.stopped.heard() as arrived:
        while not held.stop and held.goes_on and service.ready and await _rings(arrived, until):
            arrived.clear()
    held = _held(request)
    return json_answer(
        {"have": held.have, "stop": held.stop, "previews": leases.watched(held), "seconds": leases.seconds}
    )


async def send_plan(request: Request) -> Response:
    """Hear what decides the result of a run; it has ended where an earlier one has that already (`known`)."""
    leases, held = service_of(request).leases, _held(request)
    body = await read_json_body(request, service_of(request).options.body_bytes)
    known = await _answered(lambda: leases.planned(held, recipe_given(body).key))
    return json_answer({"known": known})


async def fetch_input(request: Request) -> Response:
    """A file that the graph of a lease names."""
    held, name = _held(request), request.path_params["name"]
    path = await _answered(lambda: service_of(request).leases.input(held, name))
    if path is None:
        raise not_found("file")
    headers = {"content-security-policy": "default-src 'none'; sandbox"}
    return FileResponse(anyio.Path(path), headers=headers, media_type="application/octet-stream")


async def send_result(request: Request) -> Response:
    """Keep a file of a run; nothing of it is kept unless it comes whole, with the digest that its sender says."""
    leases, held, name = service_of(request).leases, _held(request), request.path_params["name"]
    digest = query(request, "digest") or ""
    if not is_digest(digest):
        raise Refused(400, "malformed-digest", "`digest` is no BLAKE3 in hexadecimal")
    check_plain(request)
    most = await _answered(lambda: leases.room(held, name))
    part = leases.parts / secrets.token_hex(8)
    hasher, size = blake3(), 0
    try:
        leases.parts.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            async for chunk in chunks_of(request, most):
                size += len(chunk)
                hasher.update(chunk)
                await run_sync(file.write, chunk)
        if hasher.hexdigest() != digest:
            raise Refused(422, "wrong-digest", "the file is not what `digest` says", "send it again")
        held = _held(request)
        await _answered(lambda: leases.keep(held, name, part, size, digest))
    except OSError as fault:
        raise unwritable(fault) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return json_answer({"name": name, "bytes": size, "digest": digest}, 201)


async def end_lease(request: Request) -> Response:
    """Write down how a run ended, or let it wait again: `{"state": "done", "result": {...}, "error": ...}`, or
    `{"state": "returned"}`, with a `reason` where this worker cannot run it."""
    service, leases = service_of(request), service_of(request).leases
    caller, lease = caller_of(request, "work"), request.path_params["lease"]
    body = await read_json_body(request, service.options.body_bytes)

    def ended() -> Any:
        try:
            held = leases.of(lease, caller.name)
            if isinstance(body, dict) and body.get("state") == "returned":
                return leases.give_back(held, str(body.get("reason", ""))[:500])
            return leases.end(held, run_end(body), recipe_given(body))
        except LeaseLost:
            if found := leases.ended_before(lease, caller.name):
                return found
            raise

    run = await _answered(ended)
    return json_answer({"state": run.state})


def _held(request: Request) -> HeldRun:
    """The run of the lease that an address names.

    Raises:
        Refused: 410 where the lease has ended, or is somebody else's.
    """
    caller = caller_of(request, "work")
    try:
        return service_of(request).leases.of(request.path_params["lease"], caller.name)
    except LeaseLost:
        raise _lost() from None


def _lost() -> Refused:
    return Refused(410, "lease-lost", "the lease has ended, or is not yours", "the run is somebody else's, or over")


async def _answered(work: Callable[[], T]) -> T:
    """What a function gives in a thread; what it refuses as answers."""
    try:
        return await run_sync(work)
    except LeaseLost:
        raise _lost() from None
    except MalformedReport as fault:
        raise _malformed(fault) from None


def _malformed(fault: MalformedReport) -> Refused:
    return Refused(413 if fault.code == "too-large" else 422, fault.code, str(fault), "see /api/openapi.json")
