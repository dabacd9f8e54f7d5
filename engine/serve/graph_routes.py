"""The graphs of a server: what they are, what they take, how they are drawn, what a run of one would do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from weft.engine.errors import WeftError
from weft.engine.graph import document
from weft.engine.graph.graph import Graph
from weft.engine.serve import hidden_places
from weft.engine.serve.admission import Asked, raise_if_any
from weft.engine.serve.answers import Refused, json_answer, not_found, refusal
from weft.engine.serve.plain_faults import plain_problems
from weft.engine.serve.request_bodies import read_json_body
from weft.engine.serve.route_tools import caller_of, service_of
from weft.engine.serve.service import Service
from weft.engine.show.draw import sketch, to_picture
from weft.engine.show.json_schema import record
from weft.engine.show.parameter_schema import parameters_schema
from weft.engine.unicode_text import read_json


async def list_graphs(request: Request) -> Response:
    """Every graph with its parameters as JSON Schema."""
    caller_of(request, "run")
    service = service_of(request)
    return json_answer(await run_sync(_graph_records, service))


async def show_graph(request: Request) -> Response:
    """One graph: the same, and its document."""
    caller_of(request, "run")
    service, name = service_of(request), request.path_params["name"]

    def found() -> dict[str, Any]:
        graph = service.graphs.get(name)
        return {**graph_record(service, name, graph), "document": read_json(document.write(graph, None))}

    return json_answer(await answered(service, found))


async def draw_graph(request: Request) -> Response:
    """A graph as an SVG picture."""
    caller_of(request, "run")
    service, name = service_of(request), request.path_params["name"]

    def drawn() -> bytes:
        return to_picture(sketch(service.graphs.get(name), service.engine.catalog), "graph.svg")

    return Response(await answered(service, drawn), media_type="image/svg+xml")


async def show_node_type(request: Request) -> Response:
    """A node type: its help, inputs and outputs."""
    caller_of(request, "run")
    name, catalog = request.path_params["name"], service_of(request).engine.catalog
    if name not in catalog:
        raise not_found("node type")
    return json_answer(record(catalog[name]))


async def check_graph(request: Request) -> Response:
    """Every problem of a graph, named or posted, with values set: `{"problems": [...], "warnings": [...]}`."""
    service, asked = service_of(request), await read_asked(request)

    def checked() -> dict[str, Any]:
        found = service.admission.check(asked)
        return {
            "problems": plain_problems(found.problems)["problems"],
            "warnings": plain_problems(found.warnings)["problems"],
        }

    return json_answer(await answered(service, checked))


async def plan_graph(request: Request) -> Response:
    """What a run would compute, and why: `{"steps": [...]}` as `weft plan --json` prints them."""
    service, asked = service_of(request), await read_asked(request)

    def planned() -> dict[str, Any]:
        checked = service.admission.check(asked)
        raise_if_any(checked.problems)
        plan = service.engine.plan(checked.graph, asked.only)
        return {"steps": [step.plain() for step in plan.steps], "summary": str(plan).splitlines()[-1]}

    return json_answer(await answered(service, planned))


async def read_asked(request: Request) -> Asked:
    """A request that names a graph or has one: `{"graph": NAME or {...}, "parameters": {...}, "only": [...]}`.

    Raises:
        Refused: where it is not of that form, or the caller may not post graphs.
    """
    caller_of(request, "run")
    body = await read_json_body(request, service_of(request).options.body_bytes)
    if not isinstance(body, Mapping) or not {*body} <= {"graph", "parameters", "only"} or "graph" not in body:
        raise malformed("expected an object with `graph`, and perhaps `parameters` and `only`")
    graph, only = body["graph"], body.get("only", [])
    if not isinstance(graph, (str, Mapping)):
        raise malformed("`graph` is neither the name of a graph nor a graph")
    if not isinstance(graph, str):
        caller_of(request, "graphs")
    if not isinstance(only, list) or not all(isinstance(one, str) for one in only) or len(only) > 1000:
        raise malformed("`only` is no list of nodes")
    return Asked(graph, checked_parameters(body.get("parameters", {})), tuple(only))


def checked_parameters(given: object) -> Mapping[str, Any]:
    """The values of parameters in a body.

    Raises:
        Refused: where it is no object.
    """
    if not isinstance(given, Mapping):
        raise malformed("the parameters are no object")
    return given


def malformed(message: str) -> Refused:
    """The answer for a body of another form."""
    return Refused(422, "malformed-body", message, "see /api/openapi.json")


async def answered(service: Service, work: Any) -> Any:
    """What a function gives in a thread; its errors as answers, without the places of the server's folders."""
    try:
        return await run_sync(work)
    except WeftError as fault:
        refused = refusal(fault)
        refused.message = service.without_places(refused.message)
        refused.hint = service.without_places(refused.hint)
        refused.more = without_places_in(service, refused.more)
        raise refused from None


def without_places_in(service: Service, plain: Any) -> Any:
    """JSON values with texts that do not say where the server's folders lie."""
    return hidden_places.without_places_in(plain, service.places)


def _graph_records(service: Service) -> dict[str, Any]:
    graphs = service.graphs.all()
    return {"graphs": [graph_record(service, name, graph) for name, graph in graphs.items()]}


def graph_record(service: Service, name: str, graph: Graph) -> dict[str, Any]:
    """A graph as the list has it."""
    return {
        "name": name,
        "title": graph.title,
        "description": graph.description,
        "keywords": list(graph.keywords),
        "parameters": parameters_schema(graph, service.engine.catalog),
        "outputs": list(graph.outputs),
        "url": f"/api/graphs/{name}",
        "runs_url": f"/api/graphs/{name}/runs",
        "picture_url": f"/api/graphs/{name}/picture.svg",
    }
