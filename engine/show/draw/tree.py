"""A graph as a tree of text: what nothing else uses at the left edge, and below each node what it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from weft.engine.graph.graph import Graph
from weft.engine.graph.traversal import reached
from weft.engine.show.draw.sketch import Box, Sketch, Wire, sketch
from weft.engine.spec.catalog import Catalog

MOST_LINES = 500
MOST_LEVELS = 40
MOST_CHARACTERS = 60
"""Where a tree is cut: lines of one graph, levels below an edge, characters of one literal."""


def to_text(graph: Graph, catalog: Catalog) -> str:
    """The graph and each of its subgraphs as a tree; a node that is used twice is drawn once and then referred to."""
    return "\n\n".join("\n".join(lines) for lines in _sections(graph, catalog))


def _sections(graph: Graph, catalog: Catalog) -> Iterator[list[str]]:
    work: list[tuple[str, Graph]] = [("", graph)]
    while work:
        name, one = work.pop()
        yield [*_heading(name, one), *_tree(sketch(one, catalog))]
        work += [(f"{name}/{inner}" if name else inner, part) for inner, part in reversed(list(one.graphs.items()))]


def _heading(name: str, graph: Graph) -> Iterator[str]:
    title = ": ".join(part for part in (f"graph:{name}" if name else "", graph.title) if part)
    if title:
        yield title
    for parameter, one in graph.parameters.items():
        yield f"  <{parameter}> sets {', '.join(one.sets)}" + (f": {one.description}" if one.description else "")
    if title or graph.parameters:
        yield ""


@dataclass(frozen=True)
class _Branch:
    """A box to draw: how its line begins, how the lines below it begin, and the wire it hangs on."""

    key: str
    before: str = ""
    below: str = ""
    level: int = 0
    wire: Wire | None = None


@dataclass
class _Tree:
    sketch: Sketch
    sources: dict[str, list[Wire]] = field(default_factory=dict)
    drawn: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for wire in self.sketch.wires:
            self.sources.setdefault(wire.target, []).append(wire)

    def lines(self) -> Iterator[str]:
        for root in list(self._roots()):
            yield from self._from(_Branch(root))

    def _roots(self) -> Iterator[str]:
        """The boxes that no wire leaves, and one box of each circle that no such box leads to."""
        used = {wire.source for wire in self.sketch.wires}
        ends = [key for key in self.sketch.boxes if key not in used]
        found: set[str] = set()

        def above(box: str) -> set[str]:
            """Without the boxes that an earlier root led to, so that all roots together take linear time."""
            return {wire.source for wire in self.sources.get(box, [])} - found

        for key in (*ends, *self.sketch.boxes):
            if key not in found:
                yield key
                found |= reached([key], above)

    def _from(self, root: _Branch) -> Iterator[str]:
        stack = [root]
        while stack:
            branch = stack.pop()
            known = branch.key in self.drawn
            sources = [] if known else self.sources.get(branch.key, [])
            cut = bool(sources) and branch.level >= MOST_LEVELS
            yield branch.before + self._label(branch, known) + (" ..." if cut else "")
            self.drawn.add(branch.key)
            if not cut:
                stack += reversed(list(_below(branch, sources)))

    def _label(self, branch: _Branch, known: bool) -> str:
        box = self.sketch.boxes[branch.key]
        if branch.wire is None:
            return _described(box.title, box)
        several = len(box.outputs) > 1
        link = f"{box.title}.{branch.wire.output}" if several else box.title
        name = f"{branch.wire.input}: {link}" if branch.wire.target[0] != "/" else link
        return f"{name}  (above)" if known else _described(name, box)


def _below(branch: _Branch, sources: list[Wire]) -> Iterator[_Branch]:
    for wire in sources:
        last = wire is sources[-1]
        before, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield _Branch(wire.source, branch.below + before, branch.below + below, branch.level + 1, wire)


def _described(name: str, box: Box) -> str:
    if not box.type:
        return f"output {name}"
    literals = "  ".join(f"{input}={_cut(text)}" for input, text in box.literals)
    return f"{name}  {box.type}  {literals}".rstrip()


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."


def _tree(sketch: Sketch) -> list[str]:
    """The lines of one graph, as many as anybody reads."""
    tree = _Tree(sketch)
    lines: list[str] = []
    for line in tree.lines():
        if len(lines) == MOST_LINES:
            break
        lines.append(line)
    hidden = len(sketch.boxes) - len(tree.drawn)
    return [*lines, f"... and {hidden:,} more of {len(sketch.boxes):,} nodes"] if hidden else lines
