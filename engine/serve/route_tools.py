"""What the handlers of requests share: the server, the caller, and the parts of an address."""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.requests import HTTPConnection

from weft.engine.errors import listed
from weft.engine.serve.answers import Refused, not_found
from weft.engine.serve.callers import Caller, Scope
from weft.engine.serve.served_run import RUN_ID, ServedRun
from weft.engine.serve.service import Service
from weft.engine.unicode_text import is_unicode


def service_of(request: HTTPConnection) -> Service:
    """The server that a request was sent to."""
    found = request.app.state.service
    assert isinstance(found, Service)
    return found


def caller_of(request: HTTPConnection, scope: Scope | None = None) -> Caller:
    """Who calls.

    Raises:
        Refused: 403 where they have not the scope.
    """
    caller = request.scope["state"]["caller"]
    assert isinstance(caller, Caller)
    if scope is not None and not caller.may(scope):
        raise Refused(403, "scope-missing", f"your token has not the scope `{scope}`", "ask who gave it to you")
    return caller


def run_of(request: HTTPConnection) -> ServedRun:
    """The run that an address names, where the caller may see it.

    Raises:
        Refused: 404 where there is none, or it is of somebody else.
    """
    id, caller = request.path_params["id"], caller_of(request)
    run = service_of(request).queue.get(id) if RUN_ID.match(id) else None
    if run is None or not (run.caller == caller.name or caller.may("results")):
        raise not_found("run")
    return run


_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?\Z")


def query(request: HTTPConnection, name: str) -> str | None:
    """A text in the query of an address; None where it is left out.

    Raises:
        Refused: 400 where it is given twice, or is not Unicode.
    """
    given = request.query_params.getlist(name)
    if len(given) > 1:
        raise _malformed(f"`{name}` is given {len(given)} times", "give it once")
    if given and not is_unicode(given[0]):
        raise _malformed("the query is no UTF-8", "")
    return given[0] if given else None


def choice(request: HTTPConnection, name: str, choices: Collection[str]) -> str:
    """One of some words in the query of an address; empty where it is left out or empty.

    Raises:
        Refused: 400 where it is another.
    """
    text = query(request, name) or ""
    if text and text not in choices:
        raise _malformed(f"`{name}` is none of {listed(choices)}", "leave it out")
    return text


def unchanged(request: HTTPConnection, etag: str) -> bool:
    """Whether the caller has what an ETag names, by `If-None-Match`: one, several, or any (RFC 9110, 13.1.2)."""
    given = ",".join(request.headers.getlist("if-none-match"))
    known = {one.strip().removeprefix("W/") for one in given.split(",")}
    return etag in known or known == {"*"}


def number(request: HTTPConnection, name: str, otherwise: float, least: float, most: float) -> float:
    """A number in the query of an address.

    Raises:
        Refused: 400 where it is none, or out of bounds.
    """
    text = query(request, name)
    if text is None:
        return otherwise
    found = float(text) if _NUMBER.match(text) else float("nan")
    if not least <= found <= most:
        raise _malformed(f"`{name}` is no number from {least:g} to {most:g}", f"leave it out for {otherwise:g}")
    return found


def whole(request: HTTPConnection, name: str, otherwise: int, least: int, most: int) -> int:
    """A whole number in the query of an address.

    Raises:
        Refused: 400 where it is none, or out of bounds.
    """
    found = number(request, name, otherwise, least, most)
    if found != int(found):
        raise _malformed(f"`{name}` is no whole number", f"leave it out for {otherwise}")
    return int(found)


def previews(request: HTTPConnection) -> bool:
    """Whether events are wanted with their pictures: `?previews=1`."""
    return choice(request, "previews", ("0", "1")) == "1"


def _malformed(message: str, hint: str) -> Refused:
    return Refused(400, "malformed-query", message, hint)
