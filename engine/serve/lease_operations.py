"""What workers ask, as operations of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JSON_BODY = "application/json"

_LEASE = {"name": "lease", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"}}
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}, "description": "A file."}
_WAIT = {
    "name": "wait",
    "in": "query",
    "schema": {"type": "number", "minimum": 0, "maximum": 30},
    "description": "Seconds to wait: for a run, or for word that it is to stop.",
}
_DIGEST = {
    "name": "digest",
    "in": "query",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "description": "BLAKE3 of the file, in hexadecimal; what comes is compared with it.",
}


def _operation(id: str, summary: str, parameters: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    answers = {"default": {"$ref": "#/components/responses/Problem"}, **more.pop("responses")}
    about = {"description": "For workers; needs the scope `work`. 410 where the lease has ended."}
    return {"operationId": id, "summary": summary, **about, "parameters": parameters, **more, "responses": answers}


def _json(schema: str, about: str) -> dict[str, Any]:
    return {"description": about, "content": {JSON_BODY: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _body(schema: str) -> dict[str, Any]:
    return {"required": True, "content": {JSON_BODY: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def lease_paths() -> dict[str, Any]:
    """The paths that workers use."""
    lease = "/api/leases/{lease}"
    taken = {"200": _json("Lease", "A run to do."), "204": {"description": "None waits."}}
    heard = {"200": _json("LeaseNews", "Whether to go on.")}
    known = {"200": _json("LeaseKnown", "Whether an earlier run has the result; the run has ended then.")}
    ended = {"200": _json("LeaseEnded", "How the run is now.")}
    kept = {"201": _json("LeaseFile", "The file is kept.")}
    content = {"200": {"description": "Its bytes.", "content": {"application/octet-stream": {}}}}
    bytes = {"required": True, "content": {"application/octet-stream": {}}}
    return {
        "/api/leases": {
            "post": _operation("take_lease", "Take the next run", [_WAIT], requestBody=_body("Worker"), responses=taken)
        },
        lease: {
            "post": _operation(
                "renew_lease", "Send events, go on", [_LEASE, _WAIT], requestBody=_body("LeaseReport"), responses=heard
            )
        },
        f"{lease}/plan": {
            "post": _operation(
                "send_plan", "Say what decides the result", [_LEASE], requestBody=_body("LeasePlan"), responses=known
            )
        },
        f"{lease}/inputs/{{name}}": {
            "get": _operation("fetch_input", "A file that the graph names", [_LEASE, _NAME], responses=content)
        },
        f"{lease}/files/{{name}}": {
            "put": _operation(
                "send_result", "Send a file of the run", [_LEASE, _NAME, _DIGEST], requestBody=bytes, responses=kept
            )
        },
        f"{lease}/end": {
            "post": _operation(
                "end_lease", "End the run, or give it back", [_LEASE], requestBody=_body("LeaseEnd"), responses=ended
            )
        },
    }


def _object(about: str, required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "description": about, "properties": properties, "required": [*required]}


_TEXT = {"type": "string"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_RECORDS = {"type": "array", "items": {"type": "object"}}

_RECIPE = {
    **_object(
        "What decides its result, by the plan of the worker; both empty where an equal run may give another one.",
        ("key", "files"),
        key={**_TEXT, "description": "BLAKE3 of the recipe keys of what is wanted."},
        files={**_TEXT, "description": "BLAKE3 of the digests of all files that it reads."},
    ),
}

LEASE_SCHEMAS: Mapping[str, Any] = {
    "Worker": _object(
        "A worker.",
        ("name", "instance", "versions", "types"),
        name={"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"},
        instance={"type": "string", "pattern": "^[0-9a-f]{8,32}$", "description": "Of its process."},
        versions={**_TEXTS, "description": "Of Weft and its libraries; the server's have to be the same."},
        types={**_TEXTS, "description": "Its node types with their versions."},
        devices={"type": "array", "items": _TEXT},
        known={
            "type": "boolean",
            "description": "Whether it only looks if an earlier run has a result.",
        },
    ),
    "Lease": _object(
        "A run that a worker has, until it is silent for some seconds.",
        ("lease", "run", "graph", "only", "inputs", "seconds", "left", "checked", "earlier"),
        lease=_TEXT,
        run=_TEXT,
        title=_TEXT,
        graph={"type": "string", "description": "The graph file."},
        only={"type": "array", "items": _TEXT},
        inputs={**_RECORDS, "description": "`name`, `bytes` and `digest` of each file that the graph names."},
        seconds={"type": "number", "description": "For which the lease lasts from each request on."},
        left={"type": "number", "description": "Seconds that the run may take."},
        checked={"type": "boolean", "description": "Whether the server has checked all of it, models too."},
        earlier={"type": "boolean", "description": "Whether an earlier run may have the result: the plan says it."},
    ),
    "LeasePlan": _object("What decides the result of a run.", (), recipe=_RECIPE),
    "LeaseKnown": _object("What the server knows.", ("known",), known={"type": "boolean"}),
    "LeaseReport": _object(
        "What has happened.",
        (),
        after={"type": "integer", "description": "The number of the event before these."},
        events={"type": "array", "description": "Pairs of a number and an event.", "items": {"type": "array"}},
    ),
    "LeaseNews": _object(
        "What the server answers a worker.",
        ("have", "stop", "previews", "seconds"),
        have={"type": "integer", "description": "The number of the last event that the server has."},
        stop={"type": "boolean", "description": "Whether the run is to be cancelled."},
        previews={"type": "boolean", "description": "Whether somebody looks at them."},
        seconds={"type": "number"},
    ),
    "LeaseFile": _object("A file.", ("name", "bytes", "digest"), name=_TEXT, bytes={"type": "integer"}, digest=_TEXT),
    "LeaseEnd": _object(
        "How a run ended, or that it is given back.",
        ("state",),
        state={"enum": ["done", "failed", "cancelled", "returned"]},
        reason={"type": "string", "description": "Why this worker cannot run what it gives back."},
        result={"anyOf": [{"$ref": "#/components/schemas/Result"}, {"type": "null"}]},
        error={"type": ["object", "null"]},
        recipe=_RECIPE,
    ),
    "LeaseEnded": _object("A run.", ("state",), state=_TEXT),
}
"""The schemas of bodies and answers."""
