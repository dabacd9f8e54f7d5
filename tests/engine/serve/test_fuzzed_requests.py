"""Requests made from the OpenAPI document, right and wrong: none ends in a 500, shows a traceback, or writes outside.

The suite sends a few; 2,000 are sent by

    pytest -m slow -n 0 -s tests/engine/serve/test_fuzzed_requests.py

schemathesis (`pip install schemathesis`, which brings much and is therefore not among the packages for tests) reads the
same document, and compares answers with it too:

    schemathesis run http://127.0.0.1:8420/api/openapi.json --phases coverage,fuzzing --max-examples 30 \\
        --continue-on-failure --checks not_a_server_error,response_schema_conformance,status_code_conformance
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import hypothesis
import pytest
from hypothesis import strategies
from starlette.testclient import TestClient

from tests.engine.serve.conftest import Make, client_of

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")

JSON = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(strategies.text(), inner, max_size=4),
    max_leaves=12,
)

NAMES = strategies.sampled_from(["sum", "slow", "more/read", "Add", "0" * 28, "..", "%2e%2e", "a.png", "x" * 300]) | (
    strategies.text(max_size=20)
)
"""What may be in the place of a name in an address."""


def of_schema(schema: dict[str, Any], document: dict[str, Any]) -> strategies.SearchStrategy[Any]:
    """Values that a schema allows, as far as this reads it."""
    if "$ref" in schema:
        return of_schema(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    if "enum" in schema:
        return strategies.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return strategies.one_of([of_schema(one, document) for one in schema["anyOf"]])
    kind = schema.get("type")
    if kind == "object":
        known = {name: of_schema(one, document) for name, one in schema.get("properties", {}).items()}
        needed = {name: known.pop(name) for name in schema.get("required", ())}
        return strategies.fixed_dictionaries(needed, optional=known)
    if kind == "integer":
        return strategies.integers(int(schema.get("minimum", -(2**70))), int(schema.get("maximum", 2**70)))
    if kind == "number":
        return strategies.floats(schema.get("minimum"), schema.get("maximum"), allow_nan=False)
    if kind == "array":
        return strategies.lists(of_schema(schema.get("items", {}), document), max_size=3)
    if kind == "string":
        return strategies.text(max_size=30)
    return {"boolean": strategies.booleans()}.get(str(kind), JSON)


@strategies.composite
def requests(draw: strategies.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """A request: an operation of the document, with what it takes, or with something else in each place."""
    path, operations = draw(strategies.sampled_from(sorted(document["paths"].items())))
    method, operation = draw(strategies.sampled_from(sorted(operations.items())))
    wild = draw(strategies.booleans())
    if wild and draw(strategies.integers(0, 4)) == 0:
        method = draw(strategies.sampled_from(METHODS))
    filled = re.sub(r"\{\w+\}", lambda _: quote(draw(NAMES), safe="/%"), path)
    query, headers = {}, {"accept": draw(strategies.sampled_from(["application/json", "*/*", "text/event-stream"]))}
    for one in operation.get("parameters", ()):
        if one["in"] == "path" or draw(strategies.booleans()):
            continue
        value = draw(strategies.text(max_size=20) if wild else of_schema(one["schema"], document))
        if one["in"] == "query":
            query[one["name"]] = str(value)
        else:
            headers[one["name"]] = "".join(c for c in str(value) if " " < c < "\x7f")
    found: dict[str, Any] = {"method": method.upper(), "url": filled, "params": query, "headers": headers}
    body = operation.get("requestBody", {}).get("content", {})
    if "application/json" in body:
        found["json"] = draw(JSON if wild else of_schema(body["application/json"]["schema"], document))
    elif body:
        found["content"] = draw(strategies.binary(max_size=200))
    return found


def send_many(make: Make, folder: Path, count: int) -> Counter[int]:
    """Send requests; how often each status was answered."""
    statuses: Counter[int] = Counter()
    with client_of(make(time_limit=0.2, allowed=frozenset({"numbers"}))) as client:
        document = client.get("/api/openapi.json").json()
        before = sorted(path for path in folder.rglob("*") if "data" not in path.parts and "store" not in path.parts)

        @hypothesis.settings(
            max_examples=count,
            database=None,
            suppress_health_check=[*hypothesis.HealthCheck],
            deadline=None,
            derandomize=True,
        )
        @hypothesis.given(request=requests(document))
        def one(request: dict[str, Any]) -> None:
            answer = _sent(client, request)
            statuses[answer.status_code] += 1
            assert answer.status_code < 500 or answer.status_code == 503, (request, answer.text)
            assert "Traceback" not in answer.text and str(folder) not in answer.text, (request, answer.text)

        one()
        after = sorted(path for path in folder.rglob("*") if "data" not in path.parts and "store" not in path.parts)
    assert after == before
    return statuses


def _sent(client: TestClient, request: dict[str, Any]) -> Any:
    try:
        return client.request(**request)
    except ValueError:  # a float that JSON has not
        return client.request(**{**request, "json": None})


def test_requests_of_any_form_are_answered(make: Make, tmp_path: Path) -> None:
    statuses = send_many(make, tmp_path, 12)
    assert statuses.total() >= 12 and len(statuses) > 1


@pytest.mark.slow
def test_two_thousand_requests_are_answered(make: Make, tmp_path: Path) -> None:
    statuses = send_many(make, tmp_path, 2000)
    print(f"\nfuzzed requests: {dict(sorted(statuses.items()))}")
    assert statuses.total() >= 2000
