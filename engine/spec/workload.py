"""How much a node has to do, as far as that is known before a run: the time of a call is estimated from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from weft.engine.spec.upstream import Upstream


class Workload(NamedTuple):
    """What a call of a node type has to do.

    Args:
        amounts: numbers of which its time is a sum, each times a constant that is not known; first the one that most
            of the time goes into. All workloads of a node type have the same number of amounts.
        kind: names calls with the same constants, for example those of one model.
    """

    amounts: tuple[float, ...] = (1.0,)
    kind: str = ""


class Work(NamedTuple):
    """A trait of node types whose time depends on their inputs: `@node(..., traits=(Work(sampling_work),))`.

    Args:
        find: takes a node of the type; returns its workload. Where a part of it is not known before a run, the kind is
            to say so, since such calls take times of their own.
    """

    find: Callable[[Upstream], Workload]


def workload(node: Upstream) -> Workload:
    """The workload of a node: one call of its type where the type does not declare how much that is."""
    work = node.call.type.trait(Work)
    return work.find(node) if work else Workload()
