"""The application: paths, what answers them, and how errors are answered."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.convertors import PathConvertor, StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from weft.engine.errors import WeftError
from weft.engine.farm.work.job_actions import ACTIONS
from weft.engine.serve import file_routes, graph_routes, job_routes, lease_routes, operation_routes, run_routes
from weft.engine.serve.answers import Refused, refusal, retry_later
from weft.engine.serve.event_streams import run_socket
from weft.engine.serve.graph_folder import PARTS
from weft.engine.serve.page_routes import page_routes
from weft.engine.serve.request_guard import RequestGuard
from weft.engine.serve.service import Service

PAGE = Path(__file__).parent / "page"
"""The files of the page that people look at."""


class GraphName(PathConvertor):
    """The name of a graph in an address: with slashes, and without what the address goes on with."""

    regex = ".*" + "".join(f"(?<!/{re.escape(part)})" for part in PARTS)


class JobAction(StringConvertor):
    """What is done with a job, in an address."""

    regex = "|".join(ACTIONS)


register_url_convertor("graph", GraphName())
register_url_convertor("action", JobAction())


def routes() -> list[BaseRoute]:
    """Every path; names of graphs and files may have slashes, so what ends in more comes first."""
    graph = "/api/graphs/{name:graph}"
    run = "/api/runs/{id}"
    job = "/api/jobs/{job}"
    lease = "/api/leases/{lease}"
    found: list[BaseRoute] = [
        Route("/healthz", operation_routes.health),
        Route("/readyz", operation_routes.readiness),
        Route("/metrics", operation_routes.measures),
        Route("/api/server", operation_routes.show_server),
        Route("/api/openapi.json", operation_routes.show_openapi),
        Route("/api/types.ts", operation_routes.show_typescript),
        *page_routes(),
        Route("/api/graphs", graph_routes.list_graphs),
        Route(f"{graph}/runs", run_routes.submit_graph, methods=["POST"]),
        Route(f"{graph}/picture.svg", graph_routes.draw_graph),
        Route(graph, graph_routes.show_graph),
        Route("/api/node-types/{name}", graph_routes.show_node_type),
        Route("/api/check", graph_routes.check_graph, methods=["POST"]),
        Route("/api/plan", graph_routes.plan_graph, methods=["POST"]),
        Route("/api/runs", run_routes.list_runs, methods=["GET"]),
        Route("/api/runs", run_routes.submit_any, methods=["POST"]),
        Route(run, run_routes.show_run),
        Route(f"{run}/graph", run_routes.show_document),
        Route(f"{run}/events", run_routes.follow_run),
        WebSocketRoute(f"{run}/socket", run_socket),
        Route(f"{run}/cancel", run_routes.cancel_run, methods=["POST"]),
        Route(f"{run}/files/{{name:path}}", run_routes.fetch_file),
        Route("/api/jobs", job_routes.list_jobs),
        Route(job, job_routes.show_job),
        Route(f"{job}/published", job_routes.show_published),
        Route(f"{job}/items/{{number}}", job_routes.show_item),
        Route(f"{job}/logs/{{number}}", job_routes.show_logs),
        Route(f"{job}/files/{{name:path}}", job_routes.fetch_published),
        Route(f"{job}/{{action:action}}", job_routes.change_job, methods=["POST"]),
        Route("/api/leases", lease_routes.take_lease, methods=["POST"]),
        Route(lease, lease_routes.renew_lease, methods=["POST"]),
        Route(f"{lease}/plan", lease_routes.send_plan, methods=["POST"]),
        Route(f"{lease}/inputs/{{name}}", lease_routes.fetch_input),
        Route(f"{lease}/files/{{name:path}}", lease_routes.send_result, methods=["PUT"]),
        Route(f"{lease}/end", lease_routes.end_lease, methods=["POST"]),
        Route("/api/files", file_routes.send_file, methods=["POST"]),
        Route("/api/files/{name}", file_routes.fetch_upload),
    ]
    if (PAGE / "index.html").is_file():
        found.append(Mount("/", StaticFiles(directory=PAGE, html=True)))
    return found


def web_app(service: Service) -> RequestGuard:
    """The application of a server; while it is open what waits is run."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        context = service.open()
        await run_sync(context.__enter__)
        try:
            yield
        finally:
            await run_sync(context.__exit__, None, None, None)

    app = Starlette(
        routes=routes(),
        lifespan=lifespan,
        exception_handlers={
            Refused: _refused,
            WeftError: _wrong,
            HTTPException: _without_route,
            sqlite3.DatabaseError: _unwritable,
            Exception: _failed,
        },
    )
    app.state.service = service
    return RequestGuard(app, service.callers, frozenset(service.options.hosts), service.metrics.answered)


async def _refused(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, Refused)
    return fault.answer()


async def _wrong(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, WeftError)
    return refusal(fault).answer()


async def _without_route(request: Request, fault: Exception) -> Response:
    """The answer for an address or a method that there is not."""
    assert isinstance(fault, HTTPException)
    if fault.status_code not in (404, 405):
        return Refused(fault.status_code, "refused", str(fault.detail), headers=fault.headers).answer()
    methods = _methods(request.app.routes, request.scope)
    if not methods and fault.status_code == 405 and not request.url.path.startswith("/api/"):
        methods = ["GET", "HEAD"]  # of files of the page
    if methods:
        allowed = ", ".join(methods)
        message = f"{request.method[:20]} is not answered at this address"
        return Refused(405, "method-not-allowed", message, f"send {allowed}", {"allow": allowed}).answer()
    return Refused(404, "not-found", "there is no such address", "/api/openapi.json has all of them").answer()


def _methods(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """What an address answers to; nothing where there is none, or only a file of the page."""
    found = [one.methods or () for one in routes if isinstance(one, Route) and one.matches(scope)[0] != Match.NONE]
    return sorted({method for methods in found for method in methods})


async def _failed(request: Request, fault: Exception) -> Response:
    """The answer for what should not happen; the log has it with the id of the request."""
    return Refused(500, "internal", "the server failed; its log says more").answer()


async def _unwritable(request: Request, fault: Exception) -> Response:
    """The answer where the queue cannot be read or written, as on a full disk."""
    return retry_later(503, "queue-unwritable", f"the queue cannot be used: {fault}", 30.0).answer()
