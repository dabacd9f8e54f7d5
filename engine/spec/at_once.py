"""What runs a node type that is called outside of `with Graph():`.

The spec does not know engines: `weft.engine` registers what runs such calls. While an engine runs a graph,
calls from inside of its nodes go to that engine (`running`), so they use its device and weights and take their turns
within the node's own one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from weft.engine.graph.builder import composing_nothing
from weft.engine.process_exit import node_code

Runner = Callable[[Any, Mapping[str, Any]], Any]
"""Calls a `NodeType` on real values by input; gives what its function returns. `node` imports this module, so the type
is not named here."""

_INNERMOST: ContextVar[Runner | None] = ContextVar("what runs the present code", default=None)

_CANCELLED: ContextVar[Callable[[], bool] | None] = ContextVar("whether the present run was cancelled", default=None)

_default: list[Runner] = []


def register_default(runner: Runner) -> None:
    """Name what runs calls that no engine's run is around; the last one named counts."""
    _default[:] = [runner]


def runner() -> Runner:
    """What runs a call here."""
    return _INNERMOST.get() or _default[0]


def inside_a_run() -> bool:
    """Whether the present code was called by a run: it is in a node."""
    return _INNERMOST.get() is not None


def cancelled_around() -> Callable[[], bool] | None:
    """Asks whether the run around the present code was cancelled; None outside of any run that can be."""
    return _CANCELLED.get()


@contextmanager
def cancelled_by(cancelled: Callable[[], bool]) -> Iterator[None]:
    """What the block runs ends where `cancelled` says so, instead of where the run around it was cancelled."""
    token = _CANCELLED.set(cancelled)
    try:
        yield
    finally:
        _CANCELLED.reset(token)


@contextmanager
def running(runner: Runner, cancelled: Callable[[], bool] | None = None) -> Iterator[None]:
    """Node types that are called while the block runs go to `runner`, also where a graph is composed around it.

    Args:
        cancelled: whether the run was cancelled, which ends what its nodes run too.
    """
    token = _INNERMOST.set(runner)
    around = _CANCELLED.set(cancelled)
    try:
        with composing_nothing(), node_code():
            yield
    finally:
        _CANCELLED.reset(around)
        _INNERMOST.reset(token)
