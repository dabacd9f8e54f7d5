"""How a run ended, as a worker says it: only what a result has, each of its kind, since callers get it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from weft.engine.artifact import name_fault
from weft.engine.keys import is_digest
from weft.engine.serve.run_recipe import NOTHING, RunRecipe
from weft.engine.serve.served_run import RunEnd
from weft.engine.verdict import Verdict


class MalformedReport(Exception):  # noqa: N818 - an answer rather than a fault
    """What a worker sends is not what it may send.

    Args:
        code: the kind of problem.
    """

    def __init__(self, message: str, code: str = "malformed-body") -> None:
        super().__init__(message)
        self.code = code


def run_end(body: object) -> RunEnd:
    """The end of a run; its files have names and digests alone.

    Args:
        body: `{"state": "done", "failed" or "cancelled", "result": {...} or null, "error": {...} or null}`.

    Raises:
        MalformedReport: where it is of another form.
    """
    state = text_of(body, "state")
    if state not in ("done", "failed", "cancelled"):
        raise MalformedReport(f"`{state[:40]}` is no state in which a run ends")
    assert isinstance(body, dict)
    result, error = body.get("result"), body.get("error")
    if (result is None and state == "done") or (result is None and error is None and state == "failed"):
        raise MalformedReport("the end of a run has a result, or an error where it has failed")
    kept = None if result is None else _result(result)
    if kept is not None and kept["status"] != state and (kept["status"], state) != ("cancelled", "failed"):
        raise MalformedReport("the result has another state than the run")
    return RunEnd(state, kept, None if error is None else _error(error))  # type: ignore[arg-type]  # one of the three


def recipe_given(body: object) -> RunRecipe:
    """What decides the result of a run, as its worker says it; nothing where that says nothing.

    Args:
        body: `{"recipe": {"key": DIGEST, "files": DIGEST}}`.

    Raises:
        MalformedReport: where it is of another form.
    """
    given = body.get("recipe") if isinstance(body, dict) else None
    if given is None:
        return NOTHING
    found = RunRecipe(text_of(given, "key"), text_of(given, "files"))
    if found != NOTHING and not (is_digest(found.key) and is_digest(found.files)):
        raise MalformedReport("`recipe` has other than two digests")
    return found


def text_of(body: object, name: str) -> str:
    """A text in a body.

    Raises:
        MalformedReport: where it has none.
    """
    found = body.get(name) if isinstance(body, dict) else None
    if not isinstance(found, str):
        raise MalformedReport(f"expected an object with a text `{name}`")
    return found


def _result(given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise MalformedReport("`result` is no object")
    kept: dict[str, Any] = {}
    for name, (wanted, optional) in _RESULT.items():
        if name not in given and optional:
            continue
        if not wanted(given.get(name)):
            raise MalformedReport(f"`{name}` of the result is not what results have")
        kept[name] = given[name]
    return kept


def _error(given: object) -> dict[str, Any]:
    error: dict[str, Any] = {"message": text_of(given, "message"), "code": text_of(given, "code")}
    assert isinstance(given, dict)
    if "hint" in given:
        error["hint"] = text_of(given, "hint")
    if "problems" in given:
        if not _records(given["problems"]):
            raise MalformedReport("`problems` of the error are no objects of texts")
        error["problems"] = given["problems"]
    return error


def _texts(given: object) -> bool:
    return isinstance(given, list) and all(isinstance(one, str) for one in given)


def _records(given: object) -> bool:
    """Whether it is a list of objects of texts."""
    return isinstance(given, list) and all(isinstance(one, dict) and _texts([*one.values()]) for one in given)


def _failures(given: object) -> bool:
    wanted = {"node", "type", "error", "raised", "message", "hint", "code"}
    return _records(given) and isinstance(given, list) and all({*one} == wanted for one in given)


def _outputs(given: object) -> bool:
    return isinstance(given, dict) and all(isinstance(one, dict) for one in given.values())


def _number(given: object) -> bool:
    return isinstance(given, int | float) and math.isfinite(given) and given >= 0


def _verdicts(given: object) -> bool:
    wanted = {"file", *(one.name for one in fields(Verdict))}
    return isinstance(given, list) and all(isinstance(one, dict) and wanted <= {*one} for one in given)


def _files(given: object) -> bool:
    """Whether it is a list of names and digests, each name once."""
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        return False
    names = [one.get("name") for one in given]
    if not _texts(names) or len({*names}) < len(names):
        return False
    return all(name_fault(one["name"]) is None and is_digest(one.get("digest")) for one in given)


_RESULT: Mapping[str, tuple[Callable[[object], bool], bool]] = {
    "status": (lambda given: given in ("done", "failed", "cancelled"), False),
    "outputs": (_outputs, False),
    "files": (_files, False),
    "failures": (_failures, False),
    "ran": (_texts, False),
    "cached": (_texts, False),
    "seconds": (_number, False),
    "unstable": (_texts, False),
    "warnings": (_records, False),
    "peak": (_number, True),
    "safety": (_verdicts, True),
}
"""What a result has: what tells whether it is so, and whether it may be left out."""
