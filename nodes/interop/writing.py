"""A graph while it is written: nodes under readable ids, links and parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeVar

from weft.engine.errors import Problem
from weft.engine.graph.builder import snake
from weft.engine.graph.graph import Graph, Link, Node, Parameter, freeze
from weft.engine.interop.definitions import ClassDefinition
from weft.engine.interop.foreign_graph import ForeignLink, ForeignNode
from weft.nodes.interop.entries import ModelPart, PromptPart, TextPart, UnmappableError
from weft.nodes.prompting.dynamic_text import chosen, has_choices

PartOf = TypeVar("PartOf", ModelPart, TextPart, PromptPart)


@dataclass
class ForeignDraft:
    """The graph so far.

    Args:
        sets: what each parameter is, and the inputs that it sets.
        outputs: what each output of the other program's nodes is here, by node.
        results: the nodes that give something to the user, or to a node that cannot be written.
        shown: outputs of the graph, by name: what nodes give to the user that is no file.
        drafted: whether texts may have choices and comments, as in an editor.
        seed: of the first node that has one; words are chosen by it.
        assumed: of the other program's semantics where no document says them; the graph's notes have it.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    sets: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    outputs: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    shown: dict[str, Link] = field(default_factory=dict)
    drafted: bool = False
    seed: int = 0
    assumed: dict[str, None] = field(default_factory=dict)
    _next: dict[str, int] = field(default_factory=dict, repr=False)
    _named: dict[tuple[str, Any], str] = field(default_factory=dict, repr=False)

    def free_id(self, wanted: str) -> str:
        """This id, or the first free one with a number."""
        taken, number = wanted, self._next.get(wanted, 2)
        while taken in self.nodes:
            taken, number = f"{wanted}_{number}", number + 1
        self._next[wanted] = number
        return taken

    def add(self, id: str, type: str, inputs: Mapping[str, Any], notes: str = "") -> Made:
        id = self.free_id(id)
        given = {name: value for name, value in inputs.items() if value is not None}
        self.nodes[id] = Node(type, MappingProxyType({name: _given(value) for name, value in given.items()}), notes)
        return Made(id)

    def parameter(self, name: str, target: str, description: str) -> None:
        """Let a parameter set an input; one of the same name and the same value sets several."""
        node, _, input = target.partition(".")
        value = self.nodes[node].inputs.get(input)
        if isinstance(value, (Link, tuple)) or input not in self.nodes[node].inputs:
            return
        wanted = self._named.get((name, value))
        if wanted is None:
            count = self._next.get(f"parameter {name}", 1)
            self._next[f"parameter {name}"] = count + 1
            wanted = self._named[name, value] = name if count == 1 else f"{name}_{count}"
        self.sets.setdefault(wanted, (description, []))[1].append(target)

    def keep_inputs(self, node: ForeignNode) -> None:
        """Keep what a node would be given that cannot be written: a user may take it from there."""
        links = [given for given in node.inputs.values() if isinstance(given, ForeignLink)]
        known = (self.outputs.get(link.node, ())[link.slot : link.slot + 1] for link in links if link.slot >= 0)
        found = (getattr(part, "link", part) for parts in known for part in parts)
        self.results += (link.node for link in found if isinstance(link, Link))

    def keep_used(self) -> None:
        """Leave out what no result needs: a prompt that is ignored at a scale of 1, what a node left that failed."""
        stack, used = [*self.results], set[str]()
        while stack:
            id = stack.pop()
            if id not in used:
                used.add(id)
                given = (one if isinstance(one, tuple) else (one,) for one in self.nodes[id].inputs.values())
                stack += (link.node for some in given for link in some if isinstance(link, Link))
        self.nodes = {id: node for id, node in self.nodes.items() if id in used}
        kept = {name: [one for one in sets if one.partition(".")[0] in used] for name, (_, sets) in self.sets.items()}
        self.sets = {name: (self.sets[name][0], sets) for name, sets in kept.items() if sets}

    def graph(self, title: str, notes: str) -> Graph:
        parameters = {
            name: Parameter(tuple(targets), description=description)
            for name, (description, targets) in sorted(self.sets.items(), key=_rank)
        }
        outputs = {name: link for name, link in self.shown.items() if link.node in self.nodes}
        if self.assumed:
            notes = "\n".join(
                filter(None, (notes, "Assumed of ComfyUI, whose documents do not say it:", *self.assumed))
            )
        nodes = MappingProxyType(dict(self.nodes))
        return Graph(title=title, nodes=nodes, parameters=parameters, outputs=outputs, notes=notes)


_FIRST = ("prompt", "negative_prompt", "image", "seed", "steps", "cfg", "width", "height")
"""The parameters that people set most, in the order in which they are listed."""


def _rank(one: tuple[str, Any]) -> tuple[int, str]:
    name = re.sub(r"_\d+$", "", one[0])
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), one[0])


def _given(value: Any) -> Any:
    """An input as a graph holds it."""
    if isinstance(value, Made):
        return Link(value.id)
    if isinstance(value, (list, tuple)):
        return tuple(map(_given, value))
    return value if isinstance(value, Link) else freeze(value)


@dataclass(frozen=True)
class Made:
    """A node that was written."""

    id: str

    @property
    def link(self) -> Link:
        """A link to its only output."""
        return Link(self.id)

    def output(self, name: str) -> Link:
        """A link to one of several outputs."""
        return Link(self.id, name)


@dataclass(frozen=True)
class MappedNode:
    """A node of the other program while it is mapped.

    Args:
        role: a readable id that follows from how it is used; empty where nothing does.
        model: the model that it belongs to, for parts that are loaded from files of their own.
        uses: the outputs that other nodes use.
    """

    id: str
    node: ForeignNode
    definition: ClassDefinition | None
    draft: ForeignDraft
    role: str = ""
    model: ModelPart | None = None
    uses: Sequence[int] = ()

    def has(self, name: str) -> bool:
        """Whether an input is given."""
        return name in self.node.inputs and self.node.inputs[name] is not None

    def __call__(self, name: str, default: Any = None) -> Any:
        """What an input is given: a literal, a link, or a value of the mapping; else its default."""
        given = self.node.inputs.get(name)
        if isinstance(given, ForeignLink):
            return self.draft.outputs[given.node][given.slot]
        if given is not None:
            return given
        known = self.definition.by_name.get(name) if self.definition else None
        return known.default if default is None and known is not None else default

    def link(self, name: str) -> Link:
        """The link that an input is given.

        Raises:
            UnmappableError: where it is given none.
        """
        found = self(name)
        found = getattr(found, "link", found)
        if not isinstance(found, Link):
            raise UnmappableError(f"`{name}` is given nothing that a node here makes")
        return found

    def words(self, name: str, text: Any) -> Any:
        """A text as the program's editor reads it: without comments, by a node that chooses where it has choices."""
        known = self.definition.by_name.get(name) if self.definition else None
        if not (self.draft.drafted and isinstance(text, str) and known and known.dynamic):
            return text
        if not has_choices(text):
            return chosen(text, 0)
        made = self.draft.add("words", "ChooseWords", {"text": text, "seed": self.draft.seed})
        self.parameter("seed", made, "seed")
        return made

    def model_part(self, name: str = "model") -> ModelPart:
        return self._part(name, ModelPart)

    def text_part(self, name: str = "clip") -> TextPart:
        return self._part(name, TextPart)

    def prompt(self, name: str) -> PromptPart:
        return self._part(name, PromptPart)

    def _part(self, name: str, kind: type[PartOf]) -> PartOf:
        found = self(name)
        if not isinstance(found, kind):
            raise UnmappableError(f"`{name}` is given nothing that a node here makes")
        return found

    def literal(self, name: str, default: Any = None) -> Any:
        """The literal that an input is given.

        Raises:
            UnmappableError: where it is linked: what the graph looks like depends on it.
        """
        found = self(name, default)
        if isinstance(found, Link):
            raise UnmappableError(f"`{name}` is linked, and only a value that is written there can be mapped")
        return found

    def file(self, name: str) -> str:
        """The name of a file, with `/` between folders."""
        return str(self.literal(name) or "").replace("\\", "/")

    def assume(self, what: str) -> None:
        """Say in the notes of the graph what is assumed of the other program."""
        self.draft.assumed[what] = None

    def soft_mask(self, suffix: str = "", /, **inputs: Any) -> Made:
        """Latents with a mask as ComfyUI has it: one that may be grey."""
        self.assume(
            "masks of latents: grey ones mix by their value in each step, and each element has the nearest pixel"
        )
        return self.add("SetNoiseMask", suffix, **inputs, mode="soft")

    def add(self, type: str, suffix: str = "", /, **inputs: Any) -> Made:
        """Write a node; inputs that are None are left out.

        Args:
            suffix: of its id, where the entry writes several.
        """
        own = slug(self.node.title) if self.node.title and self.node.title != self.node.type else ""
        base = own or self.role or slug(snake(type.rpartition(":")[2])) or "node"
        id = f"{base}_{suffix}" if suffix and (own or self.role) else suffix or base
        made = self.draft.add(id, type, inputs, self._sources())
        if self.definition is None or self.definition.sink:
            self.draft.results.append(made.id)
        return made

    def _sources(self) -> str:
        """Where the files that the node names can be found."""
        return "\n".join(one.line() for one in self.node.files)

    def parameter(self, name: str, made: Made, input: str, description: str = "") -> None:
        """Let a parameter of the graph set an input of a node."""
        self.draft.parameter(name, f"{made.id}.{input}", description)


def slug(title: str) -> str:
    """A title as an id; empty where nothing of it can be one."""
    found = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:60].strip("_")
    return f"n{found}" if found[:1].isdigit() else found


def with_link(part: Any, link: Link | Made) -> Any:
    """A value of the mapping with another link."""
    return replace(part, link=link.link if isinstance(link, Made) else link)


Entry = Callable[[MappedNode], tuple[Any, ...]]
"""Adds what a node is here to the graph that is written; gives what each of its outputs is, in their order.

An output may be a link, a literal, or a value that exists only while a graph is mapped, such as the name of a sampler.
"""

ENTRIES: dict[str, Entry] = {}
"""Every entry, by the name of its class."""


def maps(*classes: str) -> Callable[[Entry], Entry]:
    """Register an entry for classes of nodes."""

    def register(entry: Entry) -> Entry:
        ENTRIES.update(dict.fromkeys(classes, entry))
        return entry

    return register
