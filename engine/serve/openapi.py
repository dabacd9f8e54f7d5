"""The interface of a server as an OpenAPI 3.1 document: each graph is an operation whose body has its parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from weft.engine.farm.work.job_actions import ACTIONS
from weft.engine.graph.graph import Graph
from weft.engine.serve.callers import Scope
from weft.engine.serve.lease_operations import LEASE_SCHEMAS, lease_paths
from weft.engine.show.parameter_schema import parameters_schema
from weft.engine.spec.catalog import Catalog

JSON = "application/json"


def openapi_document(graphs: Mapping[str, Graph], catalog: Catalog) -> dict[str, Any]:
    """The document.

    Args:
        graphs: those that the server offers, by name.
    """
    fixed = {**_fixed(), **_of_the_page(), **lease_paths()}
    paths: dict[str, Any] = {path: dict(operations) for path, operations in fixed.items()}
    for name, graph in graphs.items():
        paths[f"/api/graphs/{name}/runs"] = {"post": _run_of_graph(name, graph, catalog)}
        paths[f"/api/graphs/{name}"] = {"get": _operation(f"Show {name}", "run", f"show_{_id(name)}", "Graph")}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Weft", "version": "1", "description": "Runs graphs of diffusion nodes."},
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**_SCHEMAS, **LEASE_SCHEMAS},
            "responses": {"Problem": _content("A problem.", "Problem", "application/problem+json")},
        },
    }


def _run_of_graph(name: str, graph: Graph, catalog: Catalog) -> dict[str, Any]:
    """The operation that runs one graph."""
    about = "\n\n".join(filter(None, (graph.title, graph.description)))
    return {
        **_operation(f"Run {name}", "run", f"run_{_id(name)}", "Run", statuses=("200", "202"), stream=True),
        "description": about,
        "parameters": [*_SUBMIT],
        "requestBody": {"required": True, "content": {JSON: {"schema": parameters_schema(graph, catalog)}}},
    }


def _id(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _content(about: str, schema: str, media_type: str = JSON) -> dict[str, Any]:
    return {"description": about, "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _operation(
    summary: str,
    scope: Scope | None,
    id: str,
    schema: str,
    *,
    statuses: tuple[str, ...] = ("200",),
    stream: bool = False,
) -> dict[str, Any]:
    """An operation that answers with JSON, and with problems."""
    answers: dict[str, Any] = {status: _content(summary, schema) for status in statuses}
    if stream:
        events = {"text/event-stream": {"schema": {"type": "string"}}}
        answers["200"] = {**answers["200"], "content": {**answers["200"]["content"], **events}}
    answers["default"] = {"$ref": "#/components/responses/Problem"}
    about = {"description": f"Needs the scope `{scope}`."} if scope else {}
    return {"operationId": id, "summary": summary, **about, "responses": answers}


def _given(name: str, schema: Mapping[str, Any], about: str, where: str = "query") -> dict[str, Any]:
    found = {"name": name, "in": where, "schema": dict(schema), "description": about}
    return {**found, "required": True} if where == "path" else found


_TEXT = {"type": "string"}
_DIGEST = {"type": "string", "pattern": "^sha-256=:[A-Za-z0-9+/]{43}=:$"}
_WAIT = _given("wait", {"type": "number", "minimum": 0, "maximum": 300}, "Seconds to wait for the end of the run.")
_PREVIEWS = _given("previews", {"enum": ["0", "1"]}, "With 1, reports of progress have their pictures.")
_SUBMIT = (
    _WAIT,
    _PREVIEWS,
    _given("priority", {"type": "integer", "minimum": -10, "maximum": 10}, "Greater ones go first; above 0: `admin`."),
    _given(
        "Idempotency-Key",
        {"type": "string", "pattern": r"^[\x21-\x7e]{1,128}$"},
        "The caller's name for this request: sent again, it gives the run that it gave before.",
        "header",
    ),
)
_RUN = _given("id", {"type": "string", "pattern": "^[0-9a-f]{28}$"}, "The id of a run.", "path")
_JOB = _given("job", _TEXT, "The name of a job.", "path")
_FILE = _given("name", _TEXT, "The name of a file.", "path")
_NUMBERED = _given("number", {"type": "integer", "minimum": 0}, "The number of an item.", "path")
_GRAPH = _given("name", _TEXT, "The name of a graph of the server.", "path")
_FROM = _given("from", {"type": "integer", "minimum": 0, "maximum": 10**9}, "How many to leave out at the beginning.")
_PART = (
    _FROM,
    _given("limit", {"type": "integer", "minimum": 0, "maximum": 10**6}, "How many; 0, and without it, all."),
)


def _binary(summary: str, scope: Scope | None, id: str, media_type: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    """An operation that answers with bytes or a text."""
    found = _operation(summary, scope, id, "Problem")
    found["responses"]["200"] = {"description": summary, "content": {media_type: {}}}
    return {**found, "parameters": [*parameters]}


def _fixed() -> dict[str, dict[str, Any]]:
    """The paths that every server has."""
    asked = {"required": True, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Asked"}}}}
    listing = [
        _given("graph", _TEXT, "Only runs of this graph."),
        _given("state", {"enum": ["queued", "running", "done", "failed", "cancelled"]}, "Only runs in this state."),
        _given("caller", _TEXT, "Only runs of this caller; those of others need `results`."),
        _given("before", _TEXT, "The id of the run after which the list goes on."),
        _given("limit", {"type": "integer", "minimum": 1, "maximum": 200}, "How many."),
    ]
    run, job = "/api/runs/{id}", "/api/jobs/{job}"
    sent = {"required": True, "content": {"application/octet-stream": {}}}
    return {
        "/healthz": {"get": _binary("Whether the process answers", None, "health", "text/plain")},
        "/readyz": {"get": _binary("Whether requests are taken", None, "readiness", "text/plain")},
        "/metrics": {"get": _binary("What Prometheus reads", "admin", "metrics", "text/plain")},
        "/api/server": {"get": _operation("The caller, the queue, the devices", None, "show_server", "Server")},
        "/api/types.ts": {"get": _binary("This document as TypeScript types", "run", "show_types", "text/plain")},
        "/api/graphs": {"get": _operation("The graphs with their parameters", "run", "list_graphs", "Graphs")},
        "/api/check": {
            "post": {**_operation("Every problem of a graph", "run", "check_graph", "Checked"), "requestBody": asked}
        },
        "/api/plan": {
            "post": {**_operation("What a run would do, and why", "run", "plan_graph", "Planned"), "requestBody": asked}
        },
        "/api/runs": {
            "get": {**_operation("Runs, the newest first", None, "list_runs", "Runs"), "parameters": listing},
            "post": {
                **_operation("Run any graph", "graphs", "run_any", "Run", statuses=("200", "202"), stream=True),
                "parameters": [*_SUBMIT],
                "requestBody": asked,
            },
        },
        run: {"get": {**_operation("A run", None, "show_run", "Run"), "parameters": [_RUN, _WAIT]}},
        f"{run}/graph": {"get": _binary("The graph of a run", None, "run_graph", JSON, _RUN)},
        f"{run}/events": {"get": _binary("Its events", None, "follow_run", "text/event-stream", _RUN, _PREVIEWS)},
        f"{run}/cancel": {"post": {**_operation("Cancel a run", None, "cancel_run", "Run"), "parameters": [_RUN]}},
        f"{run}/files/{{name}}": {"get": _binary("A file of a run", None, "fetch_file", "*/*", _RUN, _FILE)},
        "/api/files": {
            "post": {
                **_operation("Send a file for graphs to name", "run", "send_file", "Upload", statuses=("201",)),
                "parameters": [_given("Content-Digest", _DIGEST, "sha-256=:BASE64:, to be compared.", "header")],
                "requestBody": sent,
            }
        },
        "/api/files/{name}": {"get": _binary("A file that was sent", "run", "fetch_upload", "*/*", _FILE)},
        "/api/jobs": {"get": _operation("Jobs with their progress", "results", "list_jobs", "Jobs")},
        job: {
            "get": {
                **_operation("A job and its items", "results", "show_job", "Job"),
                "parameters": [_JOB, _given("state", _TEXT, "Only items in this state."), *_PART],
            }
        },
        f"{job}/items/{{number}}": {
            "get": {
                **_operation("An item, and what it has published", "results", "show_item", "Item"),
                "parameters": [_JOB, _NUMBERED],
            }
        },
        f"{job}/published": {
            "get": {
                **_operation("What it has published", "results", "show_published", "Items"),
                "parameters": [_JOB, *_PART],
            }
        },
        f"{job}/logs/{{number}}": {
            "get": {
                **_operation("The logs of an item", "results", "show_logs", "Logs"),
                "parameters": [_JOB, _NUMBERED],
            }
        },
        f"{job}/files/{{name}}": {"get": _binary("A published file", "results", "fetch_published", "*/*", _JOB, _FILE)},
        f"{job}/{{action}}": {
            "post": {
                **_operation("Change a job", "admin", "change_job", "Job"),
                "parameters": [_JOB, _given("action", {"enum": [*ACTIONS]}, "What to do.", "path")],
            }
        },
        "/api/node-types/{name}": {
            "get": {
                **_operation("A node type", "run", "show_node_type", "NodeType"),
                "parameters": [_given("name", _TEXT, "Its name.", "path")],
            }
        },
    }


def _of_the_page() -> dict[str, dict[str, Any]]:
    """The paths that the page asks for, and that other programs may."""
    places = [
        _given("first", _TEXT, "A result: `runs/ID`, or `jobs/NAME/NUMBER`."),
        _given("second", _TEXT, "Another one."),
    ]
    narrowed = [
        _given("graph", _TEXT, "Only results of this graph."),
        _given("job", _TEXT, "Only results of this job."),
        _given("seed", _TEXT, "Only results of this seed."),
        _given("score", _TEXT, "The output by which the best come first; without it the newest do."),
        _given("order", {"enum": ["least"]}, "Whether a smaller score is better."),
        _FROM,
        _given("limit", {"type": "integer", "minimum": 1, "maximum": 200}, "How many."),
    ]
    return {
        "/api/openapi.json": {"get": _binary("This document", "run", "show_openapi", JSON)},
        "/api/gallery": {
            "get": {**_operation("Results to look at", None, "show_gallery", "Gallery"), "parameters": narrowed}
        },
        "/api/comparison": {
            "get": {**_operation("Two results compared", None, "compare", "Comparison"), "parameters": places}
        },
        "/api/graphs/{name}/drawing": {
            "get": {
                **_operation("A graph drawn, with its boxes", "run", "draw_graph", "Drawing"),
                "parameters": [_GRAPH],
            }
        },
        "/api/graphs/{name}/picture.svg": {
            "get": _binary("A graph drawn", "run", "picture_of_graph", "image/svg+xml", _GRAPH)
        },
        "/api/runs/{id}/drawing": {
            "get": {
                **_operation("The graph of a run drawn, with its boxes", None, "draw_run", "Drawing"),
                "parameters": [_RUN],
            }
        },
        "/api/runs/{id}/form": {
            "get": {
                **_operation("The parameters of a run's graph, and the graph", None, "form_of_run", "Form"),
                "parameters": [_RUN],
            }
        },
        "/api/jobs/{job}/{number}/form": {
            "get": {
                **_operation("The parameters of an item's graph, and the graph", "results", "form_of_item", "Form"),
                "parameters": [_JOB, _NUMBERED],
            }
        },
        "/api/devices": {"get": _operation("Devices and what lies on them", "results", "show_devices", "Devices")},
    }


def _object(about: str, required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "description": about, "properties": properties, "required": [*required]}


_NUMBER = {"type": "number"}
_TIME = {"type": ["number", "null"], "description": "Seconds since 1970."}


def _list_of(schema: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{schema}"}}


_PROBLEMS = _list_of("GraphProblem")

_SCHEMAS: Mapping[str, Any] = {
    "Asked": {
        **_object(
            "A graph to run, to check or to plan.",
            ("graph",),
            graph={
                "description": "The name of a graph of the server, or a graph document (scope `graphs`).",
                "anyOf": [_TEXT, {"type": "object"}],
            },
            parameters={"type": "object", "description": "Values of its parameters."},
            only={"type": "array", "items": _TEXT, "description": "Nodes to run instead of every sink and output."},
        ),
        "additionalProperties": False,
    },
    "Graph": _object(
        "A graph of the server.",
        ("name", "title", "parameters", "url", "runs_url"),
        name=_TEXT,
        title=_TEXT,
        description=_TEXT,
        keywords={"type": "array", "items": _TEXT},
        parameters={"type": "object", "description": "JSON Schema of the body that runs it."},
        outputs={"type": "array", "items": _TEXT},
        url=_TEXT,
        runs_url=_TEXT,
        picture_url=_TEXT,
        document={"type": "object", "description": "The graph file."},
    ),
    "Graphs": _object("Graphs.", ("graphs",), graphs=_list_of("Graph")),
    "File": _object(
        "A file of a run.",
        ("name", "media_type", "bytes", "digest", "url"),
        name=_TEXT,
        media_type=_TEXT,
        bytes={"type": "integer"},
        digest={"type": "string", "description": "BLAKE3 of its bytes, which is also its ETag."},
        url=_TEXT,
    ),
    "Result": _object(
        "How a run ended.",
        ("status", "outputs", "files", "failures", "ran", "cached", "seconds"),
        status={"enum": ["done", "failed", "cancelled"]},
        outputs={"type": "object", "description": "The outputs of the graph by name: `value` of numbers and texts."},
        files=_list_of("File"),
        failures={"type": "array", "items": {"type": "object"}},
        ran={"type": "array", "items": _TEXT},
        cached={"type": "array", "items": _TEXT},
        seconds=_NUMBER,
    ),
    "Run": _object(
        "A run.",
        ("id", "graph", "title", "state", "caller", "submitted", "url"),
        id=_TEXT,
        graph={"type": ["string", "null"], "description": "The name of the server's graph; null for a posted one."},
        title=_TEXT,
        state={"enum": ["queued", "running", "done", "failed", "cancelled"]},
        caller=_TEXT,
        priority={"type": "integer"},
        parameters={"type": "object"},
        submitted=_NUMBER,
        started=_TIME,
        ended=_TIME,
        attempt={"type": "integer"},
        worker={"type": ["string", "null"], "description": "That runs it or ran it; null for the server itself."},
        declined={"type": "object", "description": "Why workers cannot run it, by their names, while it waits."},
        ahead={"type": "integer", "description": "How many runs go first, while it waits."},
        result={"anyOf": [{"$ref": "#/components/schemas/Result"}, {"type": "null"}]},
        error={"type": ["object", "null"], "description": "`message`, `code` and perhaps `problems`."},
        url=_TEXT,
    ),
    "Runs": _object("Runs.", ("runs",), runs=_list_of("Run")),
    "GraphProblem": _object(
        "One thing that is wrong with a graph.",
        ("message", "code"),
        message=_TEXT,
        hint=_TEXT,
        node=_TEXT,
        input=_TEXT,
        code=_TEXT,
    ),
    "Checked": _object("What is wrong.", ("problems", "warnings"), problems=_PROBLEMS, warnings=_PROBLEMS),
    "Planned": _object("A plan.", ("steps",), steps={"type": "array", "items": {"type": "object"}}, summary=_TEXT),
    "Upload": _object(
        "A file that was sent.", ("name", "bytes"), name=_TEXT, media_type=_TEXT, bytes={"type": "integer"}, url=_TEXT
    ),
    "NodeType": _object("A node type.", ("name",), name=_TEXT, inputs={"type": "object"}, outputs={"type": "object"}),
    "Job": _object(
        "A job.",
        ("name", "state"),
        name=_TEXT,
        title=_TEXT,
        state=_TEXT,
        counts={"type": "object", "description": "How many items are in each state."},
        total={"type": "integer"},
        ended={"type": "integer"},
        rate=_NUMBER,
        left={"type": ["number", "null"]},
        items={"type": "array", "items": {"type": "object"}},
        listed={"type": "integer", "description": "How many items there are to list."},
        working={"type": "object", "description": "The name of the item that each worker executes."},
        url=_TEXT,
    ),
    "Jobs": _object("Jobs.", ("jobs",), jobs=_list_of("Job")),
    "Items": _object(
        "Items of a job.",
        ("items", "listed"),
        items={"type": "array", "items": {"type": "object"}},
        listed={"type": "integer", "description": "How many there are to list."},
    ),
    "Item": _object(
        "An item of a job.",
        ("item", "published"),
        title={"type": "string", "description": "That of the job."},
        item={"type": "object", "description": "State, settings, attempts, seconds, error."},
        published={"type": ["object", "null"], "description": "Outputs and files, where it has published any."},
    ),
    "Gallery": _object(
        "Results, and by what they may be narrowed.",
        ("results", "total", "scores", "graphs", "jobs"),
        results={"type": "array", "items": {"type": "object"}},
        total={"type": "integer"},
        scores={"type": "array", "items": _TEXT},
        graphs={"type": "array", "items": _TEXT},
        jobs={"type": "array", "items": _TEXT},
    ),
    "Comparison": _object(
        "Two results compared.",
        ("first", "second", "settings", "changes"),
        first={"type": "object"},
        second={"type": "object"},
        settings={"type": "array", "items": {"type": "object"}, "description": "Settings that differ."},
        changes={"type": "array", "items": {"type": "object"}, "description": "As `weft diff` gives them."},
    ),
    "Drawing": _object(
        "A graph drawn.",
        ("title", "width", "height", "boxes", "svg"),
        title=_TEXT,
        width={"type": "integer"},
        height={"type": "integer"},
        boxes={"type": "array", "items": {"type": "object"}, "description": "Where each node lies, and its inputs."},
        svg={"type": "string", "description": "The picture."},
    ),
    "Form": _object(
        "The parameters of a result's graph, and the graph.",
        ("title", "description", "parameters", "document"),
        title=_TEXT,
        description=_TEXT,
        parameters={"type": "object", "description": "JSON Schema of the body that runs it."},
        document={"type": "object", "description": "The graph file."},
    ),
    "Devices": _object(
        "Devices; none before a run has loaded what computes.",
        ("devices", "loaded"),
        devices={"type": "array", "items": {"type": "object"}},
        loaded={"type": "boolean"},
    ),
    "Logs": _object("Logs.", ("attempts",), attempts={"type": "array", "items": _TEXT}),
    "Server": _object("A server.", ("caller", "queue"), caller={"type": "object"}, queue={"type": "object"}),
    "Problem": _object(
        "A request that was refused (RFC 9457).",
        ("status", "code", "title"),
        status={"type": "integer"},
        code={"type": "string", "description": "Keeps its meaning while the wording changes."},
        title=_TEXT,
        hint=_TEXT,
        problems=_PROBLEMS,
    ),
}
