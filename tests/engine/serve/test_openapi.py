"""The OpenAPI document is one, and has each graph with its parameters."""

from __future__ import annotations

import re

from starlette.routing import Route
from starlette.testclient import TestClient

from weft.engine.serve.web_app import routes


def test_each_graph_is_an_operation_whose_body_has_its_parameters(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    body = document["paths"]["/api/graphs/sum/runs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["first"] and body["properties"]["second"]["default"] == 3
    assert (body["properties"]["second"]["minimum"], body["properties"]["second"]["maximum"]) == (0, 50)
    assert "/api/graphs/more/read/runs" in document["paths"] and "/api/graphs/no_graph/runs" not in document["paths"]


def test_every_path_that_is_answered_is_in_the_document(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    answered = {
        (re.sub(r":\w+", "", one.path), method.lower())
        for one in routes()
        if isinstance(one, Route)
        for method in (one.methods or set()) - {"HEAD"}
    }
    of_graphs = {("/api/graphs/{name}", "get"), ("/api/graphs/{name}/runs", "post")}  # there is one for each graph
    described = {(path, method) for path, operations in document["paths"].items() for method in operations}
    assert answered - of_graphs == {one for one in described if not re.match(r"/api/graphs/[a-z]", one[0])}


def test_types_for_typescript_have_answers_and_the_parameters_of_each_graph(client: TestClient) -> None:
    text = client.get("/api/types.ts").text
    assert "export type Run = {" in text and 'state: "queued" | "running"' in text
    graph = text.partition('  "sum": {')[2].partition("};")[0]
    assert "first: number;" in graph and "second?: number;" in graph
    assert text.count("{") == text.count("}") and '"more/read": {' in text


def test_graphs_are_listed_shown_and_drawn(client: TestClient) -> None:
    names = [one["name"] for one in client.get("/api/graphs").json()["graphs"]]
    assert sorted(names) == ["more/read", "slow", "sum"]
    assert client.get("/api/graphs/more/read").json()["document"]["weft"] == 1
    assert b"<svg" in client.get("/api/graphs/sum/picture.svg").content
    assert client.get("/api/node-types/Add").json()["inputs"]["b"]["default"] == 1
