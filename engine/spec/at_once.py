"""What runs a node type that is called outside of `with Graph():`.

The spec does not know engines: `weft.engine.session` registers what runs such calls. While an engine runs a graph,
calls from inside of its nodes go to that engine (`running`), so they use its device and weights and take their turns
within the node's own one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from weft.engine.graph.graph import composing_nothing

Runner = Callable[[Any, Mapping[str, Any]], Any]
"""Calls a `NodeType` on real values by input; gives what its function returns. `node` imports this module, so the type
is not named here."""

_INNERMOST: ContextVar[Runner | None] = ContextVar("what runs the present code", default=None)

_default: list[Runner] = []


def register_default(runner: Runner) -> None:
    """Name what runs calls that no engine's run is around; the last one named counts."""
    _default[:] = [runner]


def runner() -> Runner:
    """What runs a call here."""
    return _INNERMOST.get() or _default[0]


def inside_a_run() -> bool:
    """Whether the present code was called by a run: it is in a node or a listener."""
    return _INNERMOST.get() is not None


@contextmanager
def running(runner: Runner) -> Iterator[None]:
    """Node types that are called while the block runs go to `runner`, also where a graph is composed around it."""
    token = _INNERMOST.set(runner)
    try:
        with composing_nothing():
            yield
    finally:
        _INNERMOST.reset(token)
