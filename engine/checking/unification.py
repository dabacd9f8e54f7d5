"""Model families unified through a graph: `Latent[F]` and `Guide[F]` of one node are of one family, and so are both
ends of a link. A family is known where a checkpoint header or an annotation names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from weft.engine.errors import Problem
from weft.engine.graph.graph import Link
from weft.engine.spec.call import Call
from weft.engine.spec.node import NodeType
from weft.engine.types import Value

Variable = tuple[str, str]
"""A family variable of one node: (node id, variable name)."""


@dataclass(frozen=True)
class _Known:
    """A family, and the node that decided it."""

    family: str
    node: str


@dataclass
class _Families:
    """A union-find over variables that must be equal, with the family of each class where it is known."""

    parent: dict[Variable, Variable] = field(default_factory=dict)
    known: dict[Variable, _Known] = field(default_factory=dict)

    def root(self, variable: Variable) -> Variable:
        while (above := self.parent.get(variable, variable)) != variable:
            self.parent[variable] = self.parent.get(above, above)
            variable = above
        return variable

    def join(self, one: Variable, other: Variable) -> tuple[_Known, _Known] | None:
        """Make two variables equal. Where their families differ, nothing is joined, and both are returned."""
        one, other = self.root(one), self.root(other)
        given, wanted = self.known.get(one), self.known.get(other)
        if given and wanted and given.family != wanted.family:
            return given, wanted
        if one != other:
            self.parent[one] = other
            if given:
                self.known[other] = given
        return None


def clashes(calls: Mapping[str, Call], order: Sequence[str]) -> Iterator[Problem]:
    """Each link whose ends are of different families, with the nodes that decided them."""
    families = _Families(known=_known(calls))
    if not families.known:
        return
    for id in order:
        for name, link in calls[id].links if id in calls else ():
            found = _joined(families, calls, id, name, link)
            if found:
                given, wanted = found
                yield Problem(
                    f"`{link}` is of family {given.family} (from `{given.node}`), "
                    f"expected {wanted.family} (from `{wanted.node}`)",
                    "use models of one family in one picture",
                    id,
                    name,
                    code="family-mismatch",
                )


def _known(calls: Mapping[str, Call]) -> dict[Variable, _Known]:
    """The families that files and annotations name, before any link is followed."""
    named = {type: families for type in {call.type for call in calls.values()} if (families := _named(type))}
    known: dict[Variable, _Known] = {}
    for id, call in calls.items():
        for fixed in named.get(call.type, ()):
            known[id, f"={fixed}"] = _Known(fixed, id)
        if not call.resources:
            continue
        family = next((found.family for found in call.resources.values() if found.family), None)
        if family:
            known |= {(id, variable): _Known(family, id) for variable in _variables(call.type)}
    return known


def _sockets(type: NodeType) -> Iterator[Value]:
    kinds = [*(one.type for one in type.inputs.values()), *(one.type for one in type.outputs.values())]
    return (socket for kind in kinds for socket in kind.sockets())


def _named(type: NodeType) -> set[str]:
    """The families that annotations of a node type name."""
    return {socket.family for socket in _sockets(type) if socket.family}


def _variables(type: NodeType) -> set[str]:
    return {socket.variable for socket in _sockets(type) if socket.variable}


def _end(socket: Value, node: str) -> Variable | None:
    """The variable of one end of a link, `=FAMILY` for a fixed family; None where the socket takes any family."""
    if socket.family:
        return (node, f"={socket.family}")
    return (node, socket.variable) if socket.variable else None


def _joined(
    families: _Families,
    calls: Mapping[str, Call],
    id: str,
    name: str,
    link: Link,
) -> tuple[_Known, _Known] | None:
    """Unify both ends of a link; returns their families where they differ."""
    source = calls.get(link.node)
    output = source.type.outputs.get(link.output or next(iter(source.type.outputs))) if source else None
    given = next(output.type.sockets(), None) if output else None
    wanted = next((one for one in calls[id].type.inputs[name].type.sockets() if given and one.name == given.name), None)
    if given is None or wanted is None:
        return None
    one, other = _end(given, link.node), _end(wanted, id)
    return families.join(one, other) if one and other else None
