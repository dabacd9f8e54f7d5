"""What was found out about a picture or a prompt before it was given out, and who judges pictures for a whole machine.

A node library judges pictures by a node type with the trait `PictureJudge`. The setting `safety` has every picture of
every run judged by it as it is delivered, whatever the graph is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from weft.engine.types import value

SafetyAction = Literal["block", "blur", "flag"]


@value
@dataclass(frozen=True)
class Verdict:
    """What was found out about one picture or prompt.

    Args:
        held: whether it is held back: its score is above the threshold.
        score: of the class that is held back and most likely, in 0..1.
        label: that class; the word, where words are looked for.
        threshold: above which a score is held back.
        action: what is done with what is held back: `block`, `blur`, `refuse`, or nothing (`flag`).
        by: who judged, in words.
    """

    held: bool
    score: float
    label: str
    threshold: float
    action: str
    by: str

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "score": round(self.score, 6)}


@dataclass(frozen=True)
class SafetyDemand:
    """What the settings demand of every picture that a run gives out.

    Args:
        model: the name of the classifier, as a loader takes it.
        labels: the classes that are held back, with commas between them; empty takes those that are known to be meant.
        threshold: above which a score is held back.
        action: what is done then.
    """

    model: str
    labels: str = ""
    threshold: float = 0.5
    action: SafetyAction = "block"


CallNow = Callable[[str, Mapping[str, Any]], Any]
"""Calls a node type, by its name, on values."""


class PictureJudge(NamedTuple):
    """A trait of the node type that judges pictures: `@node(..., traits=(PictureJudge(judge),))`.

    Args:
        check: takes the name of a classifier and where models are looked up; raises `InputError` where it is missing.
        judge: takes the bytes of a picture's or a clip's file, its media type, what is demanded, and what calls node
            types; returns the bytes to give out and the verdict. Raises `InputError` for what it cannot judge.
    """

    check: Callable[[str, Any], None]
    judge: Callable[[bytes, str, SafetyDemand, CallNow], tuple[bytes, Verdict]]
