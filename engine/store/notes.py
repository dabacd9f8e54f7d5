"""Notes: what a store remembers besides records, each of one of five types.

    ResultNote     under a recipe key: the content key that the recipe led to
    CostNote       under a partial key: the seconds that a call took
    PaceNote       under the cost key of a node type: the seconds of calls by their amounts of work
    MemoryNote     under the memory key of a call: the bytes that calls like it need on a device
    HistoryNote    under the key of a graph: its nodes at the last run

On disk a note is a word for its type, a space and a text. Notes of store layout 1 have the text alone; they are read by
`read_untyped`, and `weft store migrate` rewrites them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from weft.engine.keys import Digest, is_digest


class ResultNote(NamedTuple):
    """The content key that a recipe key led to, so that a record is found without running what is upstream."""

    content: Digest


class CostNote(NamedTuple):
    """How many seconds a call took."""

    seconds: float


class Timing(NamedTuple):
    """The time of a call.

    Args:
        first: whether it was the first of its kind in its process.
        amounts: of work that it did (`weft.engine.spec.workload`).
    """

    seconds: float
    first: bool
    amounts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PaceNote:
    """How long calls of a node type took, the newest last."""

    timings: tuple[Timing, ...]


class HeldWeights(NamedTuple):
    """Weights that a call holds on its device.

    Args:
        what: the recipe that they are of.
    """

    what: str
    bytes: int


@dataclass(frozen=True, slots=True)
class MemoryNote:
    """What a call needs of its device's memory.

    Args:
        peak: the most bytes at once, weights and what they are loaded through included.
        weights: that it uses.
        savings: in which ways it could do with less, with the same result (`weft.engine.weights.savings`).
    """

    peak: int
    weights: tuple[HeldWeights, ...] = ()
    savings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HistoryNote:
    """A graph's nodes at its last run, as `planning.last_run` packs them; for the reasons that a plan prints."""

    snapshot: str


Note = ResultNote | CostNote | PaceNote | MemoryNote | HistoryNote

N = TypeVar("N", bound=Note)
"""The type of the note that is asked for."""


def pack(note: Note) -> bytes:
    """A note as a store of files writes it."""
    match note:
        case ResultNote(content):
            return b"result " + content.encode()
        case CostNote(seconds):
            return b"cost " + repr(seconds).encode()
        case PaceNote(timings):
            return b"pace " + json.dumps(timings).encode()
        case MemoryNote(peak, weights, savings):
            return b"memory " + json.dumps([peak, weights, savings]).encode()
        case HistoryNote(snapshot):
            return b"history " + snapshot.encode()


def unpack(content: bytes) -> Note | None:
    """The note that was packed; None for one that this version of Weft does not know."""
    kind, _, text = content.decode(errors="replace").partition(" ")
    match kind:
        case "result":
            return _result(text)
        case "cost":
            return _cost(text)
        case "pace":
            return _pace(text)
        case "memory":
            return _memory(text)
        case "history":
            return HistoryNote(text)
        case _:
            return read_untyped(content)


def read_untyped(content: bytes) -> Note | None:
    """A note of layout 1, whose type shows in its form alone: a digest, a number or a JSON object; None for others."""
    text = content.decode(errors="replace")
    if text.startswith("{"):
        return HistoryNote(text)
    return _result(text) or _cost(text)


def _result(text: str) -> ResultNote | None:
    # A content key becomes a part of a path, so nothing but a digest may pass.
    return ResultNote(Digest(text)) if is_digest(text) else None


def _cost(text: str) -> CostNote | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return CostNote(seconds) if math.isfinite(seconds) and seconds >= 0 else None


def _pace(text: str) -> PaceNote | None:
    try:
        timings = [
            Timing(float(seconds), bool(first), tuple(map(float, sums))) for seconds, first, sums in json.loads(text)
        ]
    except (ValueError, TypeError):
        return None
    sound = all(math.isfinite(number) and number >= 0 for one in timings for number in (one.seconds, *one.amounts))
    return PaceNote(tuple(timings)) if sound and timings else None


def _memory(text: str) -> MemoryNote | None:
    try:
        peak, weights, savings = json.loads(text)
        held = tuple(HeldWeights(str(what), int(size)) for what, size in weights)
        note = MemoryNote(int(peak), held, tuple(map(str, savings)))
    except (ValueError, TypeError, OverflowError):
        return None
    return note if min(note.peak, *(one.bytes for one in held), 0) >= 0 else None
