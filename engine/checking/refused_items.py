"""Items of a repeated subgraph that cannot run where others can: the items of a list that was computed.

One damaged file of a folder is the fault of its own item. So the nodes that have the problem fail, with the nodes that
need them, and everything else runs, as where a node fails while it runs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from weft.engine.errors import Problem


def refused_items(ids: Collection[str], problems: Sequence[Problem]) -> Mapping[str, tuple[Problem, ...]]:
    """The nodes of single items that have problems, with these.

    Empty where a problem is about more than single items: about a node that is repeated for no list, about one that has
    a problem in every item, or about no node at all. The graph is refused then.

    Args:
        ids: of all nodes of the graph without subgraphs.
    """
    found: dict[str, list[Problem]] = {}
    for problem in problems:
        found.setdefault(problem.node, []).append(problem)
    repeated, faulty = (Counter(map(for_all_items, some)) for some in (ids, found))
    if any(faulty[name] >= repeated[name] for name in faulty):
        return {}
    return {id: tuple(dict.fromkeys(some)) for id, some in found.items()}


def for_all_items(id: str) -> str:
    """The id of a node of a repeated subgraph as it is for all its items: `each/3/save` is `each/*/save`."""
    return re.sub(r"/\d+(?=/|$)", "/*", id)
