"""What a server gives as JSON, as the values that an engine gives: events, results, problems."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from weft.engine import events
from weft.engine.errors import GraphError, InputError, NodeError, Problem
from weft.engine.running.result import Result
from weft.engine.verdict import Verdict

EVENTS: Mapping[str, type[events.Event]] = {
    "run_started": events.RunStarted,
    "node_started": events.NodeStarted,
    "node_progress": events.NodeProgress,
    "node_cached": events.NodeCached,
    "node_finished": events.NodeFinished,
    "node_failed": events.NodeFailed,
    "node_blocked": events.NodeBlocked,
    "store_damaged": events.StoreDamaged,
    "file_changed": events.FileChanged,
    "memory_relieved": events.MemoryRelieved,
    "artifact": events.ArtifactWritten,
    "warning": events.WarningGiven,
    "output": events.OutputGiven,
    "run_finished": events.RunFinished,
}
"""The events of a run that an engine gives, by the names that they have in JSON."""


def event_of(plain: Mapping[str, Any], path: str = "") -> events.Event | None:
    """The event that a server gives; None for those that only servers give.

    Args:
        path: where the file of an artifact lies here.
    """
    kind = EVENTS.get(str(plain.get("event")))
    if kind is None:
        return None
    if kind is events.OutputGiven:
        content = {name: one for name, one in plain.items() if name not in ("event", "name")}
        return events.OutputGiven(plain["name"], content)
    known = {one.name for one in fields(kind)}
    given = {name: one for name, one in plain.items() if name in known}
    if "preview" in given:
        given["preview"] = b64decode(given["preview"])
    if kind is events.ArtifactWritten:
        given |= {"path": path, "verdict": _verdict(plain["safety"]) if "safety" in plain else None}
    return kind(**given)


def problem_of(plain: Mapping[str, Any]) -> Problem:
    """A problem of a graph."""
    return Problem(**{one.name: str(plain.get(one.name, "")) for one in fields(Problem)})


def result_of(run: Mapping[str, Any], paths: Sequence[Path]) -> Result:
    """The result of a run that has ended.

    Args:
        paths: where its files lie here, in their order.

    Raises:
        GraphError: where the graph has problems.
        InputError: where it ended without a result, as by its time limit.
    """
    plain, error = run["result"], run["error"]
    if plain is None or (error and not plain["failures"]):
        if run["state"] == "cancelled":
            return Result("cancelled", {}, (), (), (), (), 0.0)
        if problems := (error or {}).get("problems"):
            raise GraphError(map(problem_of, problems))
        raise InputError(error["message"], str(error.get("hint", "")), error["code"])
    names = {one["name"]: path for one, path in zip(plain["files"], paths, strict=True)}
    return Result(
        status=plain["status"],
        outputs={name: one.get("value", one) for name, one in plain["outputs"].items()},
        paths=tuple(paths),
        failures=tuple(map(_failure, plain["failures"])),
        ran=tuple(plain["ran"]),
        cached=tuple(plain["cached"]),
        seconds=plain["seconds"],
        unstable=tuple(plain["unstable"]),
        warnings=tuple(map(problem_of, plain["warnings"])),
        peak=plain.get("peak", 0),
        verdicts={names[one["file"]]: _verdict(one) for one in plain.get("safety", ()) if one["file"] in names},
    )


def _failure(plain: Mapping[str, Any]) -> NodeError:
    cause = InputError(plain["message"], plain["hint"], plain["code"] or None)
    return NodeError(plain["node"], plain["type"], cause)


def _verdict(plain: Mapping[str, Any]) -> Verdict:
    return Verdict(**{one.name: plain[one.name] for one in fields(Verdict)})
