"""The node types of every catalogue that choose between branches and handle lists.

They take any one type (`weft.engine.spec.type_variables`). Repeating a subgraph over lists (`map:NAME`) is no node of
its own: `weft.engine.checking.inlining` replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, cast

from weft.engine.errors import InputError
from weft.engine.spec.call import Gather
from weft.engine.spec.node import Lazy, NodeType, node
from weft.engine.types import Range

T = TypeVar("T")


def _branch(condition: bool, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**inputs, "otherwise" if condition else "then": None}


@node(category="logic", lazy=Lazy("condition", _branch), instant=True)
def Switch(condition: bool, then: T, otherwise: T) -> T:
    """One of two branches; the other one is not computed.

    Args:
        condition: which: true for `then`.
        then: what is given where the condition is true.
        otherwise: what is given where it is false.
    """
    return then if condition else otherwise


def _chosen(index: int, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    items = inputs["items"]
    if not isinstance(items, Gather) or index >= len(items.items):
        return inputs
    return {"index": 0, "items": Gather((items.items[index],))}


@node(category="logic", lazy=Lazy("index", _chosen), instant=True)
def Choose(index: Annotated[int, Range(0)], items: list[T]) -> T:
    """One item of a list; of items that are linked one by one the others are not computed.

    Args:
        index: which, counted from 0.
        items: what to choose from.
    """
    if index >= len(items):
        raise InputError(f"there is no item {index} in a list of {len(items)}", "count from 0", "out-of-range")
    return items[index]


@node(category="logic", instant=True)
def Collect(items: list[T]) -> list[T]:
    """Several values as one list, for a node that takes a list or for `map:` to walk over.

    Args:
        items: in their order; an array of links.
    """
    return list(items)


@node(category="logic", instant=True)
def JoinLists(first: list[T], second: list[T]) -> list[T]:
    """The items of two lists as one list.

    Args:
        first: its items come first.
        second: the items after them.
    """
    return [*first, *second]


@node(category="logic", instant=True)
def Count(items: list[T]) -> int:
    """How many items a list has.

    Args:
        items: the list.
    """
    return len(items)


TYPES: Mapping[str, NodeType] = {
    type.name: type for type in cast("tuple[NodeType, ...]", (Switch, Choose, Collect, JoinLists, Count))
}
