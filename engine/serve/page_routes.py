"""What the page asks for and programs seldom do: a gallery, comparisons, drawings with their boxes, devices."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from weft.engine.graph import document
from weft.engine.graph.graph import Graph
from weft.engine.serve.answers import Refused, json_answer
from weft.engine.serve.gallery import Wanted, results
from weft.engine.serve.graph_routes import answered
from weft.engine.serve.result_comparison import comparison, result_at
from weft.engine.serve.route_tools import caller_of, choice, query, run_of, service_of, whole
from weft.engine.serve.service import Service
from weft.engine.show.draw.placement import place
from weft.engine.show.draw.sketch import sketch
from weft.engine.show.draw.svg import to_svg
from weft.engine.show.parameter_schema import parameters_schema
from weft.engine.unicode_text import read_json

LISTED = 200
"""Of how many results one answer is, at most."""

MOST_BOXES = 500
"""Of a graph with more, the drawing is refused: nobody reads it in a page."""


def page_routes() -> list[BaseRoute]:
    """The paths; those of graphs come before the one that ends in the name of a graph."""
    return [
        Route("/api/gallery", show_gallery),
        Route("/api/comparison", show_comparison),
        Route("/api/graphs/{name:graph}/drawing", show_graph_drawing),
        Route("/api/runs/{id}/drawing", show_run_drawing),
        Route("/api/runs/{id}/form", show_form),
        Route("/api/jobs/{job}/{number}/form", show_form),
        Route("/api/devices", show_devices),
    ]


async def show_gallery(request: Request) -> Response:
    """Results: `?graph=&job=&seed=&score=OUTPUT&order=least&from=0&limit=50`; and by what they may be narrowed."""
    service, caller = service_of(request), caller_of(request)
    graph, job, seed, score = (query(request, name) or "" for name in ("graph", "job", "seed", "score"))
    wanted = Wanted(graph, job, seed.strip(), score, choice(request, "order", ("least",)) == "least")
    begin, limit = whole(request, "from", 0, 0, 10**9), whole(request, "limit", 50, 1, LISTED)

    def found() -> dict[str, Any]:
        listed = results(service, caller, wanted)
        scores = sorted({name for one in listed for name in one.scores})
        jobs = [*service.jobs.all()] if caller.may("results") else []
        shown = {"results": [one.plain() for one in listed[begin : begin + limit]], "total": len(listed)}
        return {**shown, "scores": scores, "graphs": [*service.graphs.paths()], "jobs": jobs}

    return json_answer(await answered(service, found))


async def show_comparison(request: Request) -> Response:
    """Two results side by side: `?first=runs/ID&second=jobs/NAME/NUMBER`."""
    service, caller = service_of(request), caller_of(request)
    places = [query(request, name) or "" for name in ("first", "second")]

    def found() -> dict[str, Any]:
        first, second = (result_at(service, caller, one) for one in places)
        return comparison(service, first, second)

    return json_answer(await answered(service, found))


async def show_graph_drawing(request: Request) -> Response:
    """A graph drawn, with its boxes."""
    caller_of(request, "run")
    service, name = service_of(request), request.path_params["name"]
    return json_answer(await answered(service, lambda: drawing(service, service.graphs.get(name))))


async def show_run_drawing(request: Request) -> Response:
    """The graph of a run drawn, with its boxes."""
    service, run = service_of(request), await run_sync(run_of, request)

    def drawn() -> dict[str, Any]:
        return drawing(service, service.admission.read(run.graph, service.queue.document(run.id)))

    return json_answer(await answered(service, drawn))


def drawing(service: Service, graph: Graph) -> dict[str, Any]:
    """A graph as SVG text, and where each box lies in it, with its inputs.

    Raises:
        Refused: for more nodes than a picture shows.
    """
    sketched = sketch(graph, service.engine.catalog)
    if len(sketched.boxes) > MOST_BOXES:
        message = f"{len(sketched.boxes):,} nodes are too many for a picture, which shows {MOST_BOXES:,}"
        raise Refused(422, "too-many-nodes", message, "weft show prints the graph as a tree")
    layout = place(sketched)
    boxes = [
        {
            "title": frame.box.title,
            "type": frame.box.type,
            "known": frame.box.type in service.engine.catalog,
            "literals": dict(frame.box.literals),
            "links": {},
            **{name: getattr(frame, name) for name in ("x", "y", "width", "height")},
        }
        for frame in layout.frames
    ]
    named = {key: boxes[index] for index, key in enumerate(sketched.boxes)}
    for wire in sketched.wires:
        named[wire.target]["links"].setdefault(wire.input, []).append(f"{wire.source}.{wire.output}".rstrip("."))
    size = {"width": round(layout.width), "height": round(layout.height)}
    return {"title": graph.title, **size, "boxes": boxes, "svg": to_svg(layout).decode()}


async def show_form(request: Request) -> Response:
    """The parameters of a result's graph as JSON Schema, and the graph: so one that was posted is run again."""
    service, caller = service_of(request), caller_of(request)
    where = request.path_params
    place = f"jobs/{where['job']}/{where['number']}" if "job" in where else f"runs/{where['id']}"

    def found() -> dict[str, Any]:
        graph = result_at(service, caller, place).graph
        return {
            "title": graph.title,
            "description": graph.description,
            "parameters": parameters_schema(graph, service.engine.catalog),
            "document": read_json(document.write(graph, None)),
        }

    return json_answer(await answered(service, found))


async def show_devices(request: Request) -> Response:
    """Devices with their memory and the weights that they hold; nothing of it is known before torch is loaded."""
    caller_of(request, "results")
    service = service_of(request)
    loaded = "torch" in sys.modules
    states = await run_sync(service.engine.device_states) if loaded else ()
    return json_answer({"devices": [asdict(one) for one in states], "loaded": loaded})
