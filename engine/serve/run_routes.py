"""The runs of a server: submit, wait, follow, look, fetch files, cancel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from typing import Any, get_args

import anyio
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from weft.engine.keys import digest_bytes
from weft.engine.serve.admission import Asked
from weft.engine.serve.answers import Refused, json_answer, not_found, retry_later
from weft.engine.serve.callers import Caller
from weft.engine.serve.event_streams import event_stream
from weft.engine.serve.followers import while_connected
from weft.engine.serve.graph_routes import answered, checked_parameters, read_asked, without_places_in
from weft.engine.serve.request_bodies import read_json_body
from weft.engine.serve.result_files import file_in
from weft.engine.serve.route_tools import (
    caller_of,
    choice,
    number,
    previews,
    query,
    run_of,
    service_of,
    unchanged,
    whole,
)
from weft.engine.serve.run_queue import KeyReused, QueueFull
from weft.engine.serve.served_run import RunState, ServedRun
from weft.engine.serve.service import RUNS, Service

KEY = re.compile(r"[\x21-\x7e]{1,128}\Z")
"""Values of `Idempotency-Key`."""

PRIORITIES = (-10, 10)

LISTED = 200
"""Of how many runs one list is, at most."""


async def submit_graph(request: Request) -> Response:
    """Run a graph of the server; the body has its parameters."""
    caller_of(request, "run")
    body = await read_json_body(request, service_of(request).options.body_bytes)
    return await _submitted(request, Asked(request.path_params["name"], checked_parameters(body)))


async def submit_any(request: Request) -> Response:
    """Run a graph that is posted, or named, in the body."""
    return await _submitted(request, await read_asked(request))


async def _submitted(request: Request, asked: Asked) -> Response:
    service, caller = service_of(request), caller_of(request, "run")
    key, priority = _key(request), _priority(request, caller)
    seconds, pictures = number(request, "wait", 0.0, 0.0, service.options.most_wait), previews(request)
    stream = "text/event-stream" in request.headers.get("accept", "")
    if not service.ready:
        raise retry_later(503, "stopping", "the server stops", 5.0)
    with ExitStack() as places:
        if stream or seconds:  # before it is accepted
            places.enter_context(service.followers.place(caller))
        run = await _accepted(service, caller, asked, key, priority)
        if stream:
            return event_stream(service, run, 0, pictures, places.pop_all())
        return await _shown(request, run, seconds, 202)


async def _accepted(service: Service, caller: Caller, asked: Asked, key: str, priority: int) -> ServedRun:
    """The run of a request, written down; the one that has its key where there is one."""

    def accept() -> tuple[ServedRun, bool]:
        wanted = service.admission.request(asked, caller.name, key, priority)
        named = service.uploads.used(wanted.document)

        def accepted(run: ServedRun) -> None:
            service.uploads.hold(run.id, named)
            service.dispatcher.begin_log(run)

        run, new = service.queue.submit(wanted, accepted)
        if new:
            service.dispatcher.submitted(run)
        return run, new

    try:
        run: ServedRun = (await answered(service, accept))[0]
    except QueueFull as full:
        raise retry_later(429, "queue-full", full.reason, full.seconds) from None
    except KeyReused:
        message = "this Idempotency-Key names another request of yours"
        raise Refused(409, "key-reused", message, "give each request a key of its own") from None
    return run


async def _shown(request: Request, run: ServedRun, seconds: float, unfinished: int) -> Response:
    """A run, after a wait for its end."""
    service = service_of(request)
    if seconds and not run.over:
        await while_connected(request.receive, service.logs.of(run.id).ended(seconds))
        found: ServedRun | None = await run_sync(service.queue.get, run.id)
        run = found or run
    status = 200 if run.over else unfinished
    answer = json_answer(run_record(service, run), status, {"location": f"/api/runs/{run.id}"})
    if run.over:
        answer.headers["etag"] = f'"{digest_bytes(bytes(answer.body))}"'
    return answer


def run_record(service: Service, run: ServedRun) -> dict[str, Any]:
    """A run as the API gives it; of one that waits how many go first."""
    plain = run.plain()
    plain["error"] = without_places_in(service, plain["error"])
    if run.state != "queued":
        return plain
    declined = service.queue.declined(run.id)
    return {**plain, "ahead": service.queue.ahead(run), **({"declined": declined} if declined else {})}


def _key(request: Request) -> str:
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1 or not all(KEY.match(one) for one in keys):
        raise Refused(400, "malformed-key", "expected one Idempotency-Key, of 1 to 128 visible ASCII characters")
    return "".join(keys)


def _priority(request: Request, caller: Caller) -> int:
    """The priority that a request asks for; above 0 only for those who administer the server."""
    low, high = PRIORITIES
    found = whole(request, "priority", 0, low, high)
    if found > 0 and not caller.may("admin"):
        raise Refused(403, "scope-missing", "a priority above 0 needs the scope `admin`", "leave it out")
    return found


async def list_runs(request: Request) -> Response:
    """Runs, the newest first: `?graph=&state=&caller=&before=ID&limit=50`. Those of others need the scope `results`."""
    service, caller = service_of(request), caller_of(request)
    whose = query(request, "caller") or ""
    if whose not in ("", caller.name):
        caller_of(request, "results")
    wanted: Mapping[str, Any] = {
        "caller": whose if caller.may("results") else caller.name,
        "graph": query(request, "graph"),
        "state": choice(request, "state", get_args(RunState)),
        "before": query(request, "before") or "",
        "limit": whole(request, "limit", 50, 1, LISTED),
    }
    found = await run_sync(lambda: service.queue.listed(**wanted))
    return json_answer({"runs": [run_record(service, run) for run in found]})


async def show_run(request: Request) -> Response:
    """A run; `?wait=SECONDS` waits for its end. One that has ended has the digest of its record as ETag."""
    service, run = service_of(request), await run_sync(run_of, request)
    seconds = number(request, "wait", 0.0, 0.0, service.options.most_wait)
    with service.followers.place(caller_of(request)) if seconds and not run.over else nullcontext():
        answer = await _shown(request, run, seconds, 200)
    if etag := answer.headers.get("etag"):
        kept = {"etag": etag, "cache-control": "private, no-cache"}
        answer.headers["cache-control"] = kept["cache-control"]
        if unchanged(request, etag):
            return Response(status_code=304, headers=kept)
    return answer


async def show_document(request: Request) -> Response:
    """The graph of a run, with its values, as a graph file: it runs again by `weft run`."""
    service, run = service_of(request), await run_sync(run_of, request)
    return Response(await run_sync(service.queue.document, run.id), media_type="application/json")


async def follow_run(request: Request) -> Response:
    """The events of a run as server-sent events; `?previews=1` with pictures of the steps."""
    run = await run_sync(run_of, request)
    last = request.headers.get("last-event-id", "")
    after = int(last) if last.isdecimal() and len(last) < 12 else 0
    service = service_of(request)
    return event_stream(service, run, after, previews(request), service.followers.place(caller_of(request)))


async def cancel_run(request: Request) -> Response:
    """Cancel a run, within its present step where it runs; the run as it is then."""
    service, run, caller = service_of(request), await run_sync(run_of, request), caller_of(request)
    if run.caller != caller.name:
        caller_of(request, "admin")
    found = await run_sync(service.dispatcher.cancel, run.id)
    if found is not None and not found.over:
        await service.logs.of(run.id).ended(CANCEL_SECONDS)
        found = await run_sync(service.queue.get, run.id)
    return json_answer(run_record(service, found or run))


CANCEL_SECONDS = 5.0
"""How long a request to cancel waits for the end of the run."""


async def fetch_file(request: Request) -> Response:
    """A file of a run: with its media type, its digest as ETag, and parts of it (`Range`)."""
    service, run = service_of(request), await run_sync(run_of, request)
    name = request.path_params["name"]
    known = next((one for one in (run.result or {}).get("files", ()) if one["name"] == name), None)
    path = file_in(service.folder(RUNS) / run.id, name) if known or not run.over else None
    if path is None:
        raise not_found("file")
    headers = {"content-security-policy": "default-src 'none'; sandbox", "cache-control": "private, no-cache"}
    if known is not None:
        headers["etag"] = f'"{known["digest"]}"'
        if unchanged(request, headers["etag"]):
            return Response(status_code=304, headers=headers)
    media_type = known["media_type"] if known else None
    return FileResponse(
        anyio.Path(path), headers=headers, media_type=media_type, filename=path.name, content_disposition_type="inline"
    )
