"""Node types whose results depend on more than their inputs, and say on what: a trait, and how it enters keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from weft.engine.spec.call import Call
from weft.engine.spec.upstream import Upstream

ALWAYS = "always"
"""What a call depends on whose result is never used again."""


class Changing(NamedTuple):
    """A trait of node types that depend on what no input says, such as a file that they read by themselves.

    Args:
        find: takes the literals of a call; returns a text that differs where the result may differ, or `ALWAYS` where
            no earlier result may be used.
    """

    find: Callable[[Mapping[str, Any]], str]


def as_of_now(call: Call, calls: Mapping[str, Call]) -> Call:
    """A call with what it depends on besides its inputs, as that is now."""
    changing = call.type.trait(Changing)
    return replace(call, state=changing.find(Upstream(call, calls).literals)) if changing else call
