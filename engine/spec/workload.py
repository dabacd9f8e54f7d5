"""How much a node has to do, as far as that is known before a run: its time and its memory are estimated from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

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


Inputs: TypeAlias = Mapping[str, Any]


def _nothing(inputs: Inputs) -> Inputs:
    return {}


class MemoryUse(NamedTuple):
    """A trait of node types: which of their inputs decide how much memory they need.

    What a call needs is counted once for all calls that differ in other inputs, and in files of one structure
    (`Resource.structure`), in itself and above it.

    Args:
        counted: takes the literals of a call; returns those that count, as they count.
        shorter: takes the inputs of a call, values of links too; returns those that are to be others where the call is
            made to count its memory, so that it is short and needs as much: fewer steps.
    """

    counted: Callable[[Inputs], Inputs]
    shorter: Callable[[Inputs], Inputs] = _nothing


def all_but(*names: str) -> Callable[[Inputs], Inputs]:
    """Literals without those of some names, which do not count."""

    def counted(inputs: Inputs) -> Inputs:
        return {name: given for name, given in inputs.items() if name not in names}

    return counted
