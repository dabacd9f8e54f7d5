"""What a program says of its node classes: inputs in order, which of them are widgets, outputs.

A definition file is a JSON object by class: `{"inputs": [{"name", "type", "widget"?, "default"?, "min"?, "max"?,
"options"?, "optional"?, "forceInput"?, "control_after_generate"?, "image_upload"?}], "outputs": [{"name", "type"}],
"output_node"?}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

SEEDS = frozenset({"seed", "noise_seed"})
"""Numbers that an editor offers to change after each run, in a widget of its own, without saying so."""

ANY = frozenset({"*", "COMFY_MATCHTYPE_V3", "COMFY_AUTOGROW_V3", "COMFY_DYNAMICCOMBO_V3"})
"""Types of inputs and outputs that take or give several."""

_PLAIN: Mapping[str, tuple[type, ...]] = {"INT": (int,), "FLOAT": (int, float), "STRING": (str,), "BOOLEAN": (bool,)}


@dataclass(frozen=True)
class InputDefinition:
    """An input of a class.

    Args:
        options: those of a combo box, where the definition has them.
        dynamic: whether an editor reads choices and comments in its text.
    """

    name: str
    type: str
    widget: bool = False
    optional: bool = False
    forced: bool = False
    default: Any = None
    has_default: bool = False
    options: tuple[Any, ...] = ()
    least: float | None = None
    most: float | None = None
    further: int = 0
    dynamic: bool = False

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> InputDefinition:
        name, kind = str(tree["name"]), str(tree["type"])
        widget = bool(tree.get("widget"))
        changes = bool(tree.get("control_after_generate")) or (kind == "INT" and name in SEEDS)
        uploads = any(tree.get(f"{what}_upload") for what in ("image", "audio", "video"))
        return cls(
            name=name,
            type=kind,
            widget=widget,
            optional=bool(tree.get("optional")),
            forced=bool(tree.get("forceInput")),
            default=tree.get("default"),
            has_default="default" in tree,
            options=tuple(tree.get("options", ())),
            least=tree.get("min"),
            most=tree.get("max"),
            further=int(changes) + int(uploads) if widget else 0,
            dynamic=tree.get("dynamicPrompts") is True,
        )

    @property
    def needed(self) -> bool:
        """Whether a graph must give it."""
        return not (self.optional or self.has_default or self.type in ANY)

    def takes(self, value: object) -> bool:
        """Whether a literal is of its type; numbers may lie out of bounds, and choices may be unknown."""
        kinds = _PLAIN.get(self.type)
        if self.type == "COMBO":
            return isinstance(value, (str, int, float, bool))
        if kinds is None:
            return True
        return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


@dataclass(frozen=True)
class ClassDefinition:
    """A class of nodes; a sink gives something to the user."""

    inputs: tuple[InputDefinition, ...]
    outputs: tuple[str, ...]
    sink: bool = False

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> ClassDefinition:
        outputs = tuple(str(one["type"]) for one in tree["outputs"])
        return cls(tuple(map(InputDefinition.of, tree["inputs"])), outputs, bool(tree.get("output_node")))

    @cached_property
    def by_name(self) -> Mapping[str, InputDefinition]:
        return {one.name: one for one in self.inputs}

    @property
    def dynamic(self) -> bool:
        """Whether its inputs depend on what is chosen or linked."""
        return any(one.type in ANY - {"*", "COMFY_MATCHTYPE_V3"} for one in self.inputs)


Definitions = Mapping[str, ClassDefinition]


def definitions_of(tree: Mapping[str, Any]) -> Definitions:
    """The definitions in a parsed definition file."""
    return {name: ClassDefinition.of(one) for name, one in tree.items()}


@lru_cache(maxsize=65_536)
def fits(given: str, wanted: str) -> bool:
    """Whether an output of one type can be linked to an input of another."""
    if given in ANY or wanted in ANY or given == wanted:
        return True
    kinds = set(wanted.split(","))
    # A combo box that is linked takes the text of its choice, and a whole number is a number.
    return bool(kinds & set(given.split(","))) or (given, wanted) in {("INT", "FLOAT"), ("STRING", "COMBO")}
