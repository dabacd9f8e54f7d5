"""The files of the page are whole: served with types, all of them used; they call only what the server has."""

from __future__ import annotations

import re

import pytest
from starlette.routing import Match, Route
from starlette.testclient import TestClient

from weft.engine.serve.web_app import PAGE, routes

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
FILES = sorted(path.name for path in PAGE.iterdir())
MODULES = [name for name in FILES if name.endswith(".js")]


def text(name: str) -> str:
    return (PAGE / name).read_text()


def called() -> set[tuple[str, str]]:
    """The method and the path of each request of the page; `x` stands for what is filled in."""
    found = set()
    for name in MODULES:
        for function, path in re.findall(r'(\w+)\(\s*[`"](/api/[^`"?]*)', text(name)):
            method = "POST" if function == "post" or (function == "call" and path == "/api/files") else "GET"
            found.add((method, re.sub(r"\$\{(?:[^{}]|\{[^{}]*\})*\}", "x", path)))
    return found


def test_every_file_is_served_with_its_type_and_a_policy_that_lets_nothing_else_in(client: TestClient) -> None:
    assert client.get("/").text == text("index.html")
    for name in FILES:
        answer = client.get(f"/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] == TYPES[name[name.rindex(".") :]]
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


def test_every_request_of_the_page_has_a_route() -> None:
    named = [route for route in routes() if isinstance(route, Route)]
    assert len(called()) >= 20
    for method, path in called():
        path = f"{path[:-1]}pause" if (method, path) == ("POST", "/api/jobs/x/x") else path  # one of some words
        scope = {"type": "http", "path": path, "method": method}
        assert any(route.matches(scope)[0] == Match.FULL for route in named), (method, path)


def test_every_module_is_used_and_every_import_is_there() -> None:
    imported = {(name, one) for name in MODULES for one in re.findall(r'from "\./([\w.]+)"', text(name))}
    assert {one for _, one in imported} == {*MODULES} - {"app.js"}
    for name in MODULES:
        for names, source in re.findall(r'import \{([^}]*)\} from "\./([\w.]+)"', text(name)):
            for one in filter(None, map(str.strip, names.split(","))):
                assert re.search(rf"export (async )?(function\*?|const|class) {one}\b", text(source)), (name, one)
                assert len(re.findall(rf"(?<![\w.]){one}\b", text(name))) > 1, (name, one)


@pytest.mark.parametrize("name", FILES)
def test_nothing_comes_from_elsewhere_and_nothing_is_read_as_html(name: str) -> None:
    content = text(name).replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"\b(https?|wss?):/|(src|href)=\"//|@import|url\(", content)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser", content
    )
    if name.endswith(".html"):
        assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", content)
