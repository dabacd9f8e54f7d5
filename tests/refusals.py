"""What tests hold an error or a problem to: its code, and the names and numbers that it gives, never its wording."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from weft.engine import GraphError, InputError, NodeError, Problem
from weft.engine.errors import LiteralError, WeftError

Fault = InputError | LiteralError | Problem


def names(fault: Fault, *values: str | float | Path) -> bool:
    """Whether the message or the hint gives each of these names and numbers, whole."""
    text = f"{fault.message}\n{fault.hint}"
    return all(re.search(rf"(?<!\w){re.escape(str(value))}(?!\w)", text) for value in values)


@contextmanager
def refused(code: str, *values: str | float | Path, node: str = "") -> Iterator[None]:
    """Holds that an error of this code is raised, fails a node, or is a graph's only problem, and gives these values.

    Args:
        node: the id of the node that is at fault, where that is pinned too.
    """
    with pytest.raises(WeftError) as caught:
        yield
    fault, at = _fault(caught.value)
    assert (fault.code, at) == (code, node or at), fault
    assert fault.hint and names(fault, *values), fault


def _fault(error: WeftError) -> tuple[Fault, str]:
    """What is wrong, and the id of the node that is at fault, if any."""
    if isinstance(error, GraphError):
        (problem,) = error.problems
        return problem, problem.node
    fault, node = (error.cause, error.node) if isinstance(error, NodeError) else (error, "")
    assert isinstance(fault, InputError | LiteralError), fault
    return fault, node
