"""How a server does: health, readiness, measures, the queue, devices."""

from __future__ import annotations

import sys
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from weft.engine.serve.answers import json_answer
from weft.engine.serve.openapi import openapi_document
from weft.engine.serve.route_tools import caller_of, service_of
from weft.engine.serve.service import Service
from weft.engine.serve.typescript import typescript_types


async def health(request: Request) -> Response:
    """Whether the process answers."""
    return PlainTextResponse("ok\n")


async def readiness(request: Request) -> Response:
    """Whether requests are taken: 503 while the server starts or stops, and where the queue cannot be written."""
    service = service_of(request)
    fault = await run_sync(service.fault_of_files) if service.ready else "the server starts or stops"
    return PlainTextResponse(f"not ready: {fault}\n" if fault else "ready\n", 503 if fault else 200)


async def measures(request: Request) -> Response:
    """What Prometheus reads; needs the scope `admin`."""
    caller_of(request, "admin")
    service = service_of(request)
    text = await run_sync(lambda: service.metrics.text(service.queue.counts(), len(service.leases.workers())))
    return Response(text, media_type=service.metrics.content_type)


async def show_server(request: Request) -> Response:
    """Who the caller is, how long the queue is, what devices there are."""
    service, caller = service_of(request), caller_of(request)

    def found() -> dict[str, Any]:
        counts = service.queue.counts()
        return {
            "caller": {"name": caller.name, "scopes": sorted(caller.scopes)},
            "queue": {"queued": counts.get("queued", 0), "running": counts.get("running", 0)},
            "callers": service.queue.counts_by_caller() if caller.may("results") else {},
            "workers": service.leases.workers() if caller.may("results") else [],
            "limits": {
                "waiting": min(caller.quota.waiting, service.options.waiting),
                "time_limit": service.options.time_limit,
                "upload_bytes": service.options.upload_bytes,
            },
            "stopping": service.dispatcher.stopping,
            "devices": _devices(service),
        }

    return json_answer(await run_sync(found))


def _devices(service: Service) -> list[dict[str, Any]]:
    """The devices of the engine, with the memory that is in use; nothing of it is known before torch is loaded."""
    names = service.engine.resolved_device.split(",") if "torch" in sys.modules else []
    return [{"name": name, "precision": service.engine.resolved_precision} for name in names]


async def show_typescript(request: Request) -> Response:
    """The same as TypeScript types."""
    caller_of(request, "run")
    service = service_of(request)

    def made() -> str:
        return typescript_types(openapi_document(service.graphs.all(), service.engine.catalog))

    return PlainTextResponse(await run_sync(made))


async def show_openapi(request: Request) -> Response:
    """This interface as an OpenAPI document, each graph with its parameters."""
    caller_of(request, "run")
    service = service_of(request)
    return json_answer(await run_sync(lambda: openapi_document(service.graphs.all(), service.engine.catalog)))
