"""The calls above a node, as the static check of its node type (`fits`) sees them before anything runs.

Literals and file headers are known then; values on links are not. Where a link leads to a node that nothing is known of
(a branch that is chosen later, another library's node), the answers are None, and a check should find no problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.engine.graph.graph import Link
from weft.engine.spec.call import Call, Gather
from weft.engine.types import VALUES, Type
from weft.engine.weights.resources import Resolved


@dataclass(frozen=True)
class Upstream:
    """A call of a graph that is being checked.

    Args:
        call: the node, its literals in their declared types.
        calls: every call of the graph, by id.
    """

    call: Call
    calls: Mapping[str, Call] = field(repr=False)

    @property
    def literals(self) -> dict[str, Any]:
        """Its literals by input, defaults filled in; linked and refused inputs are absent."""
        return {name: given for name, given in self.call.inputs.items() if not isinstance(given, (Link, Gather))}

    def above(self, input: str) -> Upstream | None:
        """The call that a link of this input leads to; None where there is no such link."""
        link = self.call.inputs.get(input)
        found = self.calls.get(link.node) if isinstance(link, Link) else None
        return Upstream(found, self.calls) if found else None

    def each_above(self, input: str) -> list[Upstream | None]:
        """The calls that give the elements of this input, one where it is no list; None for those without a link."""
        given = self.call.inputs.get(input)
        links = given.items if isinstance(given, Gather) else (given,)
        found = (self.calls.get(link.node) if isinstance(link, Link) else None for link in links)
        return [Upstream(call, self.calls) if call else None for call in found]

    def above_by_type(self, value: type) -> Upstream | None:
        """The call that gives this node's first linked input of a value class; None where there is no such link."""
        names = (name for name, one in self.call.type.inputs.items() if _takes(one.type, value))
        return next((found for name in names if (found := self.above(name))), None)

    def all_by_type(self, value: type) -> Iterator[Upstream]:
        """The calls that give this node's linked inputs of a value class, also those in lists."""
        for name, link in self.call.links:
            if _takes(self.call.type.inputs[name].type, value) and link.node in self.calls:
                yield Upstream(self.calls[link.node], self.calls)

    def source(self, input: str) -> Resolved | None:
        """The file that this input names, with what its headers hold; None where it names none that is here."""
        text = self.call.inputs.get(input)
        found = self.call.resources.get(text) if isinstance(text, str) else None
        return found if found and found.files else None


def _takes(type: Type, value: type) -> bool:
    return any(VALUES.get(socket.name) is value for socket in type.sockets())
