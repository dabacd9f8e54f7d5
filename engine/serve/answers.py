"""Answers: JSON, and problems in the form of RFC 9457 (`application/problem+json`) with the codes of Weft's errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from weft.engine.errors import GraphError, WeftError
from weft.engine.serve.plain_faults import plain_fault
from weft.engine.unicode_text import json_text

PROBLEM = "application/problem+json"


class Refused(Exception):  # noqa: N818 - an answer rather than a fault
    """A request that is answered with a problem.

    Args:
        status: of HTTP.
        code: the kind of problem, in kebab case.
        message: what was found and what was expected.
        hint: what the caller can do about it.
        headers: of the answer.
        more: other members of the problem.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.headers = dict(headers or {})
        self.more = dict(more or {})

    def answer(self) -> Response:
        """The answer."""
        body = {"status": self.status, "code": self.code, "title": self.message, "hint": self.hint, **self.more}
        return Response(json_text(body), self.status, self.headers, PROBLEM)


def not_found(what: str) -> Refused:
    """The answer for something that is not there, or that the caller may not see."""
    return Refused(404, "not-found", f"there is no such {what}", "the lists say what there is")


def retry_later(status: int, code: str, message: str, seconds: float) -> Refused:
    """The answer for what may be tried again."""
    return Refused(status, code, message, "try again later", {"retry-after": str(math.ceil(seconds))})


def unwritable(fault: OSError) -> Refused:
    """The answer where a file cannot be kept, as on a full disk."""
    return retry_later(503, "storage-unwritable", f"the file cannot be kept: {fault.strerror}", 30.0)


def refusal(fault: WeftError) -> Refused:
    """The answer for an error of Weft: 404 for a graph that is not there, else 422 with every problem."""
    plain = plain_fault(fault)
    missing = isinstance(fault, GraphError) and plain["code"] == "unknown-graph"
    more = {"problems": plain["problems"]} if "problems" in plain else {}
    return Refused(404 if missing else 422, plain["code"], plain["message"], plain.get("hint", ""), more=more)


def json_answer(plain: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(json_text(plain), status, dict(headers or {}), "application/json")
