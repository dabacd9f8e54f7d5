"""Node classes for ComfyUI of the plain kind as node types: `comfy:NAME`, by what INPUT_TYPES and its kin say of them.

Lists: a class with INPUT_IS_LIST gets a list at every input, of one element where it is given a single value. An output
of OUTPUT_IS_LIST is a list, which such a class takes.
"""

from __future__ import annotations

import inspect
import re
import traceback
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from weft.engine import InputError, NodeProblem
from weft.engine.interop.definitions import ClassDefinition
from weft.engine.limits import Limits
from weft.engine.spec.changing import ALWAYS, Changing
from weft.engine.spec.node import Input, NodeType, Output
from weft.engine.types import Anything, Choice, Either, ListOf, Nothing, Range, Scalar, Type, Value
from weft.nodes.interop.class_tensors import ClassOutput, to_class

PREFIX = "comfy:"
"""How the names of these node types begin."""

SHOWN = "shown"
"""The output that has what a class shows in an editor, as JSON; classes that are outputs of a graph have it."""

PLAIN_TYPES: Mapping[str, Type] = {
    "INT": Scalar("int"),
    "FLOAT": Scalar("float"),
    "STRING": Scalar("str"),
    "BOOLEAN": Scalar("bool"),
    "IMAGE": Value("Image"),
    "MASK": Value("Mask"),
    "COMBO": Anything(),
    "*": Anything(),
}
"""The types that classes for ComfyUI and Weft both have; any other is of the classes themselves."""

OWN_TYPES = frozenset(
    {
        "MODEL",
        "CLIP",
        "VAE",
        "CONDITIONING",
        "LATENT",
        "CONTROL_NET",
        "SAMPLER",
        "SIGMAS",
        "NOISE",
        "GUIDER",
        "CLIP_VISION",
        "CLIP_VISION_OUTPUT",
        "STYLE_MODEL",
        "UPSCALE_MODEL",
        "GLIGEN",
        "HOOKS",
        "AUDIO",
        "VIDEO",
        "LORA_MODEL",
        "MODEL_PATCH",
        "PHOTOMAKER",
        "LATENT_OPERATION",
    }
)
"""The types that ComfyUI's own code makes, whose values Weft has in other forms."""

WIDGETS = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})


class NotPlainError(Exception):
    """A class is not of the plain kind; the message says in what way."""


@dataclass(frozen=True)
class PlainClass:
    """A class by what it says of itself.

    Args:
        name: by which graphs know it.
        title: that is shown for it.
        folder: of its package, for messages.
        inputs: as a definition file has them, by name.
        hidden: inputs that an editor fills in; nothing does here.
    """

    cls: Any
    name: str
    title: str
    folder: Path
    inputs: Mapping[str, Mapping[str, Any]]
    hidden: tuple[str, ...] = ()

    @classmethod
    def of(cls, of: Any, name: str, title: str, folder: Path) -> PlainClass:
        """A class with what its INPUT_TYPES says.

        Raises:
            NotPlainError: where something that a plain class has is missing, or it needs what ComfyUI alone has.
        """
        function, returned = getattr(of, "FUNCTION", None), getattr(of, "RETURN_TYPES", None)
        if not isinstance(function, str) or not callable(getattr(of, function, None)):
            raise NotPlainError("its FUNCTION names no method")
        if not isinstance(returned, (tuple, list)):
            raise NotPlainError("it has no RETURN_TYPES")
        try:
            groups = of.INPUT_TYPES()
            needed = {name: _spec(given, optional=False) for name, given in groups.get("required", {}).items()}
            others = {name: _spec(given, optional=True) for name, given in groups.get("optional", {}).items()}
        except Exception as fault:
            raise NotPlainError(f"its INPUT_TYPES raised {type(fault).__name__}: {fault}") from fault
        kinds = {*(one["type"] for one in needed.values()), *map(_kind, returned)}
        if own := sorted(kinds & OWN_TYPES):
            raise NotPlainError(f"it takes or gives {', '.join(own)}, which ComfyUI's own code makes")
        return cls(of, name, title, folder, {**needed, **others}, tuple(groups.get("hidden", ())))

    @cached_property
    def takes_lists(self) -> bool:
        return bool(getattr(self.cls, "INPUT_IS_LIST", False))

    @cached_property
    def is_output(self) -> bool:
        """Whether a graph with it runs it."""
        return bool(getattr(self.cls, "OUTPUT_NODE", False))

    @cached_property
    def outputs(self) -> Mapping[str, ClassOutput]:
        """What it gives, by name, in order."""
        kinds = [*map(_kind, self.cls.RETURN_TYPES)]
        given = getattr(self.cls, "RETURN_NAMES", None) or ()
        named = [*given, *kinds[len(given) :]]
        lists = [*(getattr(self.cls, "OUTPUT_IS_LIST", None) or ())]
        found: dict[str, ClassOutput] = {}
        for index, kind in enumerate(kinds):
            base = re.sub(r"\W+", "_", str(named[index]).lower()).strip("_") or "output"
            name, number = base, 2
            while name in found or name == SHOWN:
                name, number = f"{base}_{number}", number + 1
            found[name] = ClassOutput(kind, bool(index < len(lists) and lists[index]))
        return found

    @cached_property
    def definition(self) -> ClassDefinition:
        """The class as ComfyUI's editor knows it."""
        inputs = [{"name": name, **one} for name, one in self.inputs.items()]
        outputs = [{"type": one.kind} for one in self.outputs.values()]
        return ClassDefinition.of({"inputs": inputs, "outputs": outputs, "output_node": self.is_output})

    def state(self, literals: Mapping[str, Any]) -> str:
        """What IS_CHANGED says for these inputs; a value that is not equal to itself is `ALWAYS`."""
        found = self._asked("IS_CHANGED", {name: literals.get(name) for name in self.inputs})
        if found != found or not isinstance(found, (str, bytes, int, float, bool, tuple, list, type(None))):
            return ALWAYS
        return f"{type(found).__name__} {found!r}"

    def problems(self, literals: Mapping[str, Any], limits: Limits) -> Iterator[NodeProblem]:
        """What its choices and VALIDATE_INPUTS find in the literals of a node."""
        for name, one in self.inputs.items():
            options = one.get("options")
            if (
                options
                and name in literals
                and literals[name] not in options
                and "VALIDATE_INPUTS" not in dir(self.cls)
            ):
                listed = ", ".join(map(str, options[:10]))
                yield NodeProblem(
                    name, f"{literals[name]!r} is no choice", f"choose one of: {listed}", "unknown-choice"
                )
        if not hasattr(self.cls, "VALIDATE_INPUTS"):
            return
        wanted = inspect.signature(self.cls.VALIDATE_INPUTS).parameters
        names = {name for name, one in wanted.items() if one.kind is not one.VAR_KEYWORD} & self.inputs.keys()
        if names <= literals.keys():
            found = self._asked("VALIDATE_INPUTS", {name: literals[name] for name in self.inputs if name in literals})
            if found is not True:
                why = f": {found}" if isinstance(found, str) else ""
                yield NodeProblem("", f"its class refuses its inputs{why}", "give others", "refused-by-node-type")

    def _asked(self, method: str, given: Mapping[str, Any]) -> Any:
        """What a method of the class says of inputs, of those that it names.

        Raises:
            InputError: where it raises.
        """
        function = getattr(self.cls, method)
        try:
            parameters = inspect.signature(function).parameters
            takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
            return function(**{name: one for name, one in given.items() if takes_all or name in parameters})
        except Exception as fault:
            raise self._failure(fault, method) from fault

    def call(self, **given: Any) -> Any:
        """What it gives, for values of Weft's.

        Raises:
            InputError: where the class raises, or gives what it does not declare.
        """
        arguments = {name: to_class(one) for name, one in given.items() if one is not None or self._is_needed(name)}
        if self.takes_lists:
            arguments = {name: one if isinstance(one, list) else [one] for name, one in arguments.items()}
        function = getattr(self.cls(), self.cls.FUNCTION)
        hidden = [None] if self.takes_lists else None
        try:
            with _without_gradients():
                found = function(**arguments, **dict.fromkeys(self.hidden, hidden))
                if inspect.iscoroutine(found):
                    import asyncio

                    found = asyncio.run(found)
        except Exception as fault:
            raise self._failure(fault, self.cls.FUNCTION) from fault
        return self._values(found)

    def _is_needed(self, name: str) -> bool:
        return not self.inputs[name]["optional"]

    def _failure(self, fault: Exception, method: str) -> InputError:
        """The error of what a method raised, with the place in its package."""
        frames = traceback.extract_tb(fault.__traceback__)
        own = [one for one in frames if Path(one.filename).is_relative_to(self.folder)]
        place = f" ({Path(own[-1].filename).relative_to(self.folder)}, line {own[-1].lineno})" if own else ""
        if isinstance(fault, ModuleNotFoundError):
            message, hint = f"{method} of {self.name} imports {fault.name}, which is not there{place}", "install it"
        else:
            message = f"{method} of {self.name} raised {type(fault).__name__}: {fault}{place}"
            hint = "it is the class's own code that failed; --debug shows where"
        return InputError(message, hint, "failed-class")

    def _values(self, found: Any) -> Any:
        if isinstance(found, Mapping):
            if "expand" in found:
                message = f"{self.name} makes further nodes while it runs"
                raise InputError(message, "that is not done here", "failed-class")
            shown, found = found.get("ui", {}), found.get("result", ())
        else:
            shown = {}
        results = [] if found is None else [*found] if isinstance(found, (tuple, list)) else [found]
        if len(results) < len(self.outputs):
            message = f"{self.name} gave {len(results)} outputs, expected {len(self.outputs)}"
            raise InputError(message, "it is the class's own code that is wrong", "failed-class")
        made = [
            _made(self.name, name, one, item) for (name, one), item in zip(self.outputs.items(), results, strict=False)
        ]
        if self.is_output or not made:
            import json

            made.append(json.dumps(shown, default=str))
        return made[0] if len(made) == 1 else tuple(made)

    def node_type(self, origin: str) -> NodeType:
        """The node type of the class.

        Args:
            origin: the digest of its package, which is part of its keys.
        """
        names = [*self.outputs, *([SHOWN] if self.is_output or not self.outputs else [])]
        types = {name: _output_type(one) for name, one in self.outputs.items()}
        outputs = {name: Output(name, types.get(name, Scalar("str"))) for name in names}
        inputs = {name: _input(name, one, self.takes_lists) for name, one in self.inputs.items()}
        parameters = [
            inspect.Parameter(f"input_{index}" if not name.isidentifier() else name, inspect.Parameter.KEYWORD_ONLY)
            for index, name in enumerate(inputs)
        ]
        traits: list[object] = [self]
        if hasattr(self.cls, "IS_CHANGED"):
            traits.append(Changing(self.state))
        return NodeType(
            name=f"{PREFIX}{self.name}",
            function=_function(self),
            inputs=inputs,
            outputs=outputs,
            category=f"comfy: {getattr(self.cls, 'CATEGORY', '') or self.folder.name}",
            check=self.problems,
            traits=tuple(traits),
            origin=origin,
            result=namedtuple("Outputs", names, rename=True) if len(names) > 1 else None,
            signature=inspect.Signature(_unique(parameters)),
        )


@dataclass(frozen=True)
class RefusedClass:
    """A class that cannot be run.

    Args:
        reason: why.
    """

    name: str
    reason: str

    def node_type(self, origin: str) -> NodeType:
        """A node type whose nodes are all refused."""

        def function(**given: Any) -> None:
            raise InputError(self.reason, HINT, "refused-class")

        function.__name__, function.__doc__ = f"{PREFIX}{self.name}", f"Refused: {self.reason}."
        outputs = {"output": Output("output", Anything())}
        return NodeType(
            f"{PREFIX}{self.name}", function, {}, outputs, "comfy: refused", check=self._check, traits=(self,)
        )

    def _check(self, literals: Mapping[str, Any], limits: Limits) -> Iterator[NodeProblem]:
        yield NodeProblem("", self.reason, HINT, "refused-class")


HINT = "only classes that need nothing of ComfyUI itself run here; leave the node out"


def _spec(given: Any, *, optional: bool) -> Mapping[str, Any]:
    """An input as a definition file has it: `("INT", {"default": 1})`, `(["a", "b"],)`."""
    kind, *rest = given if isinstance(given, (tuple, list)) else (given,)
    options = dict(rest[0]) if rest and isinstance(rest[0], Mapping) else {}
    if isinstance(kind, (list, tuple)):
        options["options"], kind = [*kind], "COMBO"
    kind = _kind(kind)
    options = {name: one for name, one in options.items() if name in KEPT}
    widget = kind in WIDGETS and not options.get("forceInput")
    if kind == "COMBO" and "default" not in options and options.get("options"):
        options["default"] = options["options"][0]
    return {**options, "type": kind, "widget": widget, "optional": optional}


KEPT = frozenset(
    {
        "default",
        "min",
        "max",
        "options",
        "forceInput",
        "control_after_generate",
        "dynamicPrompts",
        "image_upload",
        "video_upload",
        "audio_upload",
        "tooltip",
    }
)
"""What a definition has of an input's options."""


def _kind(given: Any) -> str:
    """The name of a type; a list of choices is one."""
    return "COMBO" if isinstance(given, (list, tuple)) else str.__str__(given) if isinstance(given, str) else str(given)


def _output_type(one: ClassOutput) -> Type:
    kind = PLAIN_TYPES.get(one.kind, Value("ComfyValue"))
    return ListOf(kind) if one.is_list else kind


def _input(name: str, one: Mapping[str, Any], takes_lists: bool) -> Input:
    kind = _input_type(one)
    if takes_lists and not isinstance(kind, Anything):
        kind = Either((kind, ListOf(kind)))
    if one["optional"] and not isinstance(kind, Anything):
        kind = Either((kind, Nothing()))
    more = {"default": one["default"]} if "default" in one and one["widget"] else {}
    more = {"default": None} if one["optional"] and not more else more
    try:
        return Input(
            name, kind, help=str(one.get("tooltip", "")), **{key: kind.literal(it) for key, it in more.items()}
        )
    except Exception:  # a default that is not of its own type
        return Input(name, kind, help=str(one.get("tooltip", "")))


def _input_type(one: Mapping[str, Any]) -> Type:
    options = one.get("options") or ()
    if one["type"] == "COMBO":
        return Choice(tuple(options)) if options and all(isinstance(it, str) for it in options) else Anything()
    kinds = [PLAIN_TYPES.get(kind, Value("ComfyValue")) for kind in one["type"].split(",")]
    kind = kinds[0] if len(kinds) == 1 else Either(tuple(kinds))
    bounds = Range(one.get("min"), one.get("max"))
    return kind.bounded(bounds) if isinstance(kind, Scalar) else kind


def _made(owner: str, name: str, one: ClassOutput, item: Any) -> Any:
    try:
        return one.value(item)
    except InputError as fault:
        hint = fault.hint or "it is the class's own code that is wrong"
        raise InputError(f"the output `{name}` of {owner}: {fault.message}", hint, "failed-class") from None


def _function(own: PlainClass) -> Callable[..., Any]:
    def function(**given: Any) -> Any:
        return own.call(**given)

    about = inspect.cleandoc(str(getattr(own.cls, "DESCRIPTION", "") or ""))
    function.__name__ = f"{PREFIX}{own.name}"
    function.__doc__ = f"{own.title}, a node class for ComfyUI in {own.folder.name}.\n\n{about}".strip()
    return function


def _unique(parameters: Sequence[inspect.Parameter]) -> list[inspect.Parameter]:
    return [*{one.name: one for one in parameters}.values()]


def _without_gradients() -> Any:
    import torch

    return torch.no_grad()
