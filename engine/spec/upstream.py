"""What a node type may ask of the nodes above one of its own, before anything runs: a call, and what it is linked to.

Literals and what headers say of named files are known at check; values are not. Where a link leads to a node of which
nothing can be told (a branch that is chosen later, another library's node), there is no answer, and no problem.
"""

from __future__ import annotations

from collections.abc import Mapping
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
        """What it is given itself, defaults filled in; linked and refused inputs are absent."""
        return {name: given for name, given in self.call.inputs.items() if not isinstance(given, (Link, Gather))}

    def above(self, input: str) -> Upstream | None:
        """The call that a link of this input leads to; None where there is no such link."""
        link = self.call.inputs.get(input)
        found = self.calls.get(link.node) if isinstance(link, Link) else None
        return Upstream(found, self.calls) if found else None

    def above_by_type(self, value: type) -> Upstream | None:
        """The call that gives this node's first linked input of a value class; None where there is no such link."""
        names = (name for name, one in self.call.type.inputs.items() if _takes(one.type, value))
        return next((found for name in names if (found := self.above(name))), None)

    def source(self, input: str) -> Resolved | None:
        """What the files of this input say; None where it names none, or they are not here."""
        text = self.call.inputs.get(input)
        found = self.call.resources.get(text) if isinstance(text, str) else None
        return found if found and found.files else None


def _takes(type: Type, value: type) -> bool:
    return any(VALUES.get(socket.name) is value for socket in type.sockets())
