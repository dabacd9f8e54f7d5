"""What the header of a source says, where it has to be of one kind. Imports no torch."""

from __future__ import annotations

from typing import TypeVar

from weft.engine import InputError, Resolved

T = TypeVar("T")


def facts_of(source: Resolved, kind: type[T], what: str, loader: str) -> T:
    """The facts of a source that a recipe names.

    Args:
        source: as `Loading.locate` gives it.
        kind: of the facts.
        what: such a source, with its article, for the message.
        loader: the node that loads such sources, for the hint.

    Raises:
        InputError: where the source is of another kind (`wrong-kind-of-file`).
    """
    if not isinstance(source.facts, kind):
        message = f"`{source.text}` is not {what}"
        raise InputError(message, f"load it with {loader}", "wrong-kind-of-file")
    return source.facts
