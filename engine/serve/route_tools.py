"""What the handlers of requests share: the server, the caller, and the parts of an address."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from weft.engine.serve.answers import Refused, not_found
from weft.engine.serve.callers import Caller, Scope
from weft.engine.serve.served_run import RUN_ID, ServedRun
from weft.engine.serve.service import Service


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


def number(request: HTTPConnection, name: str, otherwise: float, least: float, most: float) -> float:
    """A number in the query of an address.

    Raises:
        Refused: 400 where it is none, or out of bounds.
    """
    text = request.query_params.get(name)
    if text is None:
        return otherwise
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not least <= found <= most:
        hint = f"leave it out for {otherwise:g}"
        raise Refused(400, "malformed-query", f"`{name}` is no number from {least:g} to {most:g}", hint)
    return found
