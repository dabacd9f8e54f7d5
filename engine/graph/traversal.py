"""Graphs of ids walked without recursion, in time linear in nodes and links: order, reach, circles.

A graph is a mapping from each id to the ids that it takes from (`above`), or a function that gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from weft.engine.graph.graph import Link, Node, links_of

T = TypeVar("T")


def links_above(node: Node) -> list[Link]:
    """Every link among the inputs of a node."""
    found: list[Link] = []
    for given in node.inputs.values():
        if type(given) is Link:
            found.append(given)
        elif type(given) is tuple:
            found += links_of(given)
    return found


def sources(nodes: Mapping[str, Node]) -> dict[str, list[str]]:
    """For each node the ids that it links to; links that lead to none of the nodes are left out."""
    return {id: [link.node for link in links_above(node) if link.node in nodes] for id, node in nodes.items()}


def reached(starts: Iterable[str], above: Callable[[str], Iterable[str]]) -> set[str]:
    """Some ids and all that they take from, directly or through others."""
    found = {*starts}
    stack = [*found]
    while stack:
        for source in above(stack.pop()):
            if source not in found:
                found.add(source)
                stack.append(source)
    return found


def topological(above: Mapping[str, Iterable[str]]) -> list[str]:
    """The ids, each after those that it takes from (Kahn 1962); in the order of the mapping where its links allow it.

    Ids on a circle, and those that take from one, are left out.
    """
    order: list[str] = []
    missing: dict[str, int] = {}
    below: dict[str, list[str]] = {}
    done: set[str] = set()
    for id, sources in above.items():
        left = {source for source in sources if source not in done}
        if left:
            missing[id] = len(left)
            for source in left:
                below.setdefault(source, []).append(id)
            continue
        ready = [id]
        while ready:
            done.add(found := ready.pop())
            order.append(found)
            for taker in below.pop(found, ()):
                missing[taker] -= 1
                if not missing[taker]:
                    ready.append(taker)
    return order


def circles(above: Mapping[str, Iterable[str]]) -> Iterator[list[str]]:
    """One circle of each strongly connected part, in the direction of its links; its first id is also its last."""
    import networkx

    links = networkx.DiGraph([(source, id) for id, sources in above.items() for source in sources])
    for part in networkx.strongly_connected_components(links):
        if len(part) > 1 or any(links.has_edge(id, id) for id in part):
            edges = networkx.find_cycle(links.subgraph(part), min(part))
            yield [*(source for source, _ in edges), edges[0][0]]


def accumulated(
    order: Iterable[str], above: Mapping[str, Iterable[str]], own: Callable[[str], set[T]]
) -> dict[str, set[T]]:
    """For each id of a topological order, what `own` gives for it and for all that it takes from."""
    found: dict[str, set[T]] = {}
    for id in order:
        found[id] = own(id).union(*(found[source] for source in above[id] if source in found))
    return found
