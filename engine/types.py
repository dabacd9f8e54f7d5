"""The types of inputs and outputs.

A `Type` is read from a Python annotation (`read`), converts a JSON literal strictly (`literal`), decides whether an
output may be linked to an input (`accepts`) and gives its JSON Schema (`schema`). Value classes of node libraries
(Latent, Image, ...) join by the `value` decorator; a `Value` carries the family variable of `Latent[F]`.

Read next: `weft.engine.spec.node`, which makes a node's spec out of these.
"""

from __future__ import annotations

import json
import math
import numbers
import sys
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar, dataclass_transform

from weft.engine.errors import CatalogError, LiteralError, listed, nearest
from weft.engine.unicode_text import escaped, is_unicode

C = TypeVar("C", bound=type)

VALUES: dict[str, type] = {}
"""Every value class, by name: what the store's codec may build when it reads."""

_ADDED = "weft.added_later"

ADDED_LATER: Mapping[str, bool] = types.MappingProxyType({_ADDED: True})
"""Marks a field or an input that was added after results had been stored; it is in no key while it has its default.

Of a value class: `field(default=None, metadata=ADDED_LATER)`. Of a node: `Annotated[str | None, ADDED_LATER] = None`.
Digests and keys of values and graphs that do not use it stay what they were, and stored values still decode.
"""


NOT_ALWAYS = "weft.not_always"
"""Marks an output that some calls of a node type do not give, which is None then: `Annotated[Image, NOT_ALWAYS]`.

Which outputs a node gives, as far as it is known before a run, is declared by the trait `Gives`.
"""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: C) -> C:
    """Register a frozen dataclass as a socket type under its own name.

    Its fields hold None, bool, int, float, str, bytes, tensors, other values, and tuples, lists and dicts of these. A
    class may have a method `check_value(self) -> None`, which raises `InputError` for a value that cannot be used (a
    tensor of another shape, not finite); it is called for what nodes give and for what node types are called with.

    Raises:
        CatalogError: where the class is no frozen dataclass, or another class has the name.
    """
    if not is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise CatalogError(f"{cls.__name__}: a value class must be a frozen dataclass")
    known = VALUES.setdefault(cls.__name__, cls)
    if (_file(known), known.__qualname__) != (_file(cls), cls.__qualname__):
        raise CatalogError(f"{cls.__name__} is a value class of {known.__module__} already")
    VALUES[cls.__name__] = cls
    return cls


def _file(cls: type) -> str:
    """The file that defines a class, whose module may have another name each time that it is read."""
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__


@dataclass(frozen=True)
class Range:
    """Bounds of a number, inclusive; `step` is the grid it lies on, counted from `minimum`. Used in `Annotated`."""

    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None

    def fault(self, number: float) -> str | None:
        """The fault of `number`, or None."""
        if self.minimum is not None and number < self.minimum:
            return f"{number!r} is below the least value, {self.minimum!r}"
        if self.maximum is not None and number > self.maximum:
            return f"{number!r} is above the greatest value, {self.maximum!r}"
        if self.step is not None and not self._on_grid(number):
            return f"{number!r} is not a multiple of {self.step!r}" + (
                f" above {self.minimum!r}" if (self.minimum or 0) % self.step else ""
            )
        return None

    def _on_grid(self, number: float) -> bool:
        steps = (number - (self.minimum or 0)) / typing.cast(float, self.step)
        return abs(steps - round(steps)) < 1e-9

    def schema(self) -> dict[str, Any]:
        """The bounds as JSON Schema keywords."""
        given = {"minimum": self.minimum, "maximum": self.maximum}
        if self.step is not None and not (self.minimum or 0) % self.step:
            given["multipleOf"] = self.step
        return {name: bound for name, bound in given.items() if bound is not None}


@dataclass(frozen=True)
class Choices:
    """What the choices of an input are; used in `Annotated` around a `Literal` of texts.

    Args:
        about: a line on each choice.
        meant: the hint for a text that is no choice: what somebody who wrote it may mean; empty where it is unknown.
    """

    about: Mapping[str, str]
    meant: Callable[[str], str] = lambda given: ""


def shown(literal: object) -> str:
    """A literal as an error message shows it: spelled, with its type. Of lists and objects only what they are."""
    if literal is None:
        return "null"
    if isinstance(literal, Mapping):
        return "an object"
    if isinstance(literal, (list, tuple)):
        return f"a list of {len(literal)}"
    kind = {bool: "a bool", str: "a string"}.get(type(literal), type(literal).__name__)
    return f"{spelled(literal, 60)} ({kind})"


def spelled(given: object, limit: int | None = None) -> str:
    """A literal as a graph file spells it, on one line; a link as `node.output`.

    Args:
        limit: the greatest number of characters; a longer text ends in `...`.
    """
    if type(given) is int or type(given) is float:
        text = str(given)
    else:
        text = "".join(_pieces(given)) if limit is None else _beginning(given, limit + 1)
    return text if limit is None or len(text) <= limit else f"{text[: limit - 3]}..."


def _beginning(given: object, length: int) -> str:
    """At least so many of the first characters of a literal that has them; the rest is not spelled."""
    text = ""
    for piece in _pieces(given, length):
        text += piece
        if len(text) >= length:
            break
    return text


def _pieces(given: object, length: int | None = None) -> Iterator[str]:
    """The spelling of a literal in pieces; a string is cut after `length` characters."""
    if isinstance(given, str):
        yield json.dumps(given[:length], ensure_ascii=False)
    elif isinstance(given, bool) or given is None:
        yield {True: "true", False: "false", None: "null"}[given]
    elif isinstance(given, (list, tuple)):
        for index, item in enumerate(given):
            yield ", " if index else "["
            yield from _pieces(item, length)
        yield "]" if given else "[]"
    elif isinstance(given, Mapping):
        for index, (name, item) in enumerate(given.items()):
            yield ", " if index else "{"
            yield from (*_pieces(name, length), ": ")
            yield from _pieces(item, length)
        yield "}" if given else "{}"
    else:
        yield str(given)


class Type(ABC):
    """The type of an input or an output."""

    @abstractmethod
    def literal(self, given: object) -> Any:
        """The value of a JSON literal in this type.

        Raises:
            LiteralError: if this type does not accept it. The only conversion is from int to float.
        """

    @abstractmethod
    def accepts(self, other: Type) -> bool:
        """Whether an output of type `other` may be linked to an input of this type."""

    @abstractmethod
    def admits(self, item: object) -> bool:
        """Whether a value at run time is of this type."""

    def converted(self, item: object) -> object:
        """What a node gave as a value of this type: an int or a NumPy number where a float is declared as a float.

        What cannot be converted without loss is given back as it is.
        """
        return item

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the literals that this type accepts."""

    def sockets(self) -> Iterator[Value]:
        """The value classes inside this type."""
        return iter(())

    def bounded(self, bounds: Range) -> Type:
        """This type with bounds on its numbers."""
        return self

    def described(self, choices: Choices) -> Type:
        """This type with what its choices are.

        Raises:
            CatalogError: where its choices are others.
        """
        return self


@dataclass(frozen=True)
class Anything(Type):
    """Any value; a literal keeps its own type."""

    def literal(self, given: object) -> Any:
        return given

    def accepts(self, other: Type) -> bool:
        return True

    def admits(self, item: object) -> bool:
        return True

    def schema(self) -> dict[str, Any]:
        return {}

    def __str__(self) -> str:
        return "any"


@dataclass(frozen=True)
class Variable(Type):
    """Any one type, the same wherever a node's signature has it: `Switch(condition, then: T, otherwise: T) -> T`.

    The checker replaces it by the type that a graph gives (`weft.engine.spec.type_variables`).

    Args:
        options: the types that it may stand for (`TypeVar("P", Image, Mask)`); empty is any.
    """

    name: str
    options: tuple[Type, ...] = ()

    @property
    def widest(self) -> Type:
        """What it is where a graph does not say which type it stands for."""
        return Either(self.options) if self.options else Anything()

    def literal(self, given: object) -> Any:
        return self.widest.literal(given)

    def accepts(self, other: Type) -> bool:
        return self.widest.accepts(other)

    def admits(self, item: object) -> bool:
        return self.widest.admits(item)

    def schema(self) -> dict[str, Any]:
        return self.widest.schema()

    def sockets(self) -> Iterator[Value]:
        return self.widest.sockets()

    def __str__(self) -> str:
        return str(self.widest) if self.options else self.name


@dataclass(frozen=True)
class Nothing(Type):
    """The null of an optional input, which may be left out."""

    def literal(self, given: object) -> Any:
        if given is not None:
            raise LiteralError(f"expected nothing, found {shown(given)}")

    def accepts(self, other: Type) -> bool:
        return isinstance(other, Nothing)

    def admits(self, item: object) -> bool:
        return item is None

    def schema(self) -> dict[str, Any]:
        return {"type": "null"}

    def __str__(self) -> str:
        return "none"


_HINTS = {
    "int": "write a whole number without quotes or a decimal point",
    "float": "write a number without quotes",
    "bool": "write true or false without quotes",
    "str": "write a string in double quotes",
}


_CONVERTED: Mapping[str, type] = {"int": numbers.Integral, "float": numbers.Real, "str": str, "bool": bool}
"""What each primitive may be made of."""


@dataclass(frozen=True)
class Scalar(Type):
    """A primitive: `int`, `float`, `bool` or `str`."""

    name: str
    bounds: Range | None = None

    def literal(self, given: object) -> Any:
        if self.name == "float" and type(given) is int and abs(given) <= 2**1023:
            given = float(given)
        if type(given).__name__ != self.name:
            raise LiteralError(f"expected {self._article()}, found {shown(given)}", _HINTS[self.name])
        if isinstance(given, float) and not math.isfinite(given):
            raise LiteralError(
                f"expected a finite float, found {given!r}", "give a number that is finite", "not-a-number"
            )
        if isinstance(given, str) and not is_unicode(given):
            message = f"`{escaped(given)[:200]}` has bytes that are not UTF-8, which no graph can hold"
            raise LiteralError(
                message, "write it in UTF-8; if it is the name of a file, rename that", "malformed-value"
            )
        fault = self.bounds.fault(given) if self.bounds and isinstance(given, (int, float)) else None
        if fault:
            raise LiteralError(fault, self._bounds_hint(), "out-of-range")
        return given

    def _article(self) -> str:
        return f"an {self.name}" if self.name == "int" else f"a {self.name}"

    def _bounds_hint(self) -> str:
        bounds = typing.cast(Range, self.bounds)
        low = "..." if bounds.minimum is None else bounds.minimum
        high = "..." if bounds.maximum is None else bounds.maximum
        return f"give a value from {low} to {high}" + (f" in steps of {bounds.step}" if bounds.step is not None else "")

    def accepts(self, other: Type) -> bool:
        if isinstance(other, Choice):
            return self.name == "str"
        return isinstance(other, Scalar) and (other.name == self.name or (other.name, self.name) == ("int", "float"))

    def admits(self, item: object) -> bool:
        return type(item).__name__ == self.name

    def converted(self, item: object) -> object:
        if isinstance(item, bool) or not isinstance(item, _CONVERTED[self.name]):
            return item
        return {"int": int, "float": float, "str": str, "bool": bool}[self.name](item)

    def schema(self) -> dict[str, Any]:
        name = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}[self.name]
        return {"type": name, **(self.bounds.schema() if self.bounds else {})}

    def bounded(self, bounds: Range) -> Type:
        return replace(self, bounds=bounds) if self.name in ("int", "float") else self

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Choice(Type):
    """One of some strings.

    Args:
        choices: what they are, where the annotation says so.
    """

    options: tuple[str, ...]
    choices: Choices = field(default=Choices({}), compare=False)

    def literal(self, given: object) -> Any:
        if not isinstance(given, str) or given not in self.options:
            found = spelled(given, 60) if isinstance(given, str) else shown(given)
            hint = self._meant(given) if isinstance(given, str) else ""
            choices = f"choose one of: {listed(self.options, 30)}"
            raise LiteralError(f"{found} is no choice here", f"{hint} {choices}".strip(), "unknown-choice")
        return given

    def _meant(self, given: str) -> str:
        return self.choices.meant(given) or nearest(given, self.options)

    def described(self, choices: Choices) -> Type:
        unknown = choices.about.keys() ^ set(self.options) if choices.about else set()
        if unknown:
            raise CatalogError(f"the texts on choices and the choices differ: {listed(sorted(unknown))}")
        return replace(self, choices=choices)

    def accepts(self, other: Type) -> bool:
        return other == Scalar("str") or (isinstance(other, Choice) and set(other.options) <= set(self.options))

    def admits(self, item: object) -> bool:
        return item in self.options

    def schema(self) -> dict[str, Any]:
        about = [self.choices.about[option] for option in self.options] if self.choices.about else []
        return {"enum": list(self.options), **({"enumDescriptions": about} if about else {})}

    def __str__(self) -> str:
        return "choice"


@dataclass(frozen=True)
class Value(Type):
    """A value class of a node library, with the family variable (`F`) or the family that its annotation names."""

    name: str
    variable: str | None = None
    family: str | None = None

    def literal(self, given: object) -> Any:
        article = "an" if self.name[0] in "AEIOU" else "a"
        raise LiteralError(
            f"expected {article} {self.name}, found {shown(given)}",
            f'link it to an output of type {self.name}: {{"link": "NODE"}} or {{"link": "NODE.OUTPUT"}}',
            "needs-link",
        )

    def accepts(self, other: Type) -> bool:
        return isinstance(other, Value) and other.name == self.name

    def admits(self, item: object) -> bool:
        return isinstance(item, VALUES[self.name])

    def schema(self) -> dict[str, Any]:
        return {"not": {}}

    def sockets(self) -> Iterator[Value]:
        yield self

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class ListOf(Type):
    """A list of one type; a list is given as a JSON array of literals and links."""

    item: Type

    def literal(self, given: object) -> Any:
        if not isinstance(given, (list, tuple)):
            raise LiteralError(f"expected {self}, found {shown(given)}", "write a JSON array: [...]")
        return [self.item.literal(element) for element in given]

    def accepts(self, other: Type) -> bool:
        return isinstance(other, ListOf) and self.item.accepts(other.item)

    def admits(self, item: object) -> bool:
        return isinstance(item, (list, tuple)) and all(map(self.item.admits, item))

    def converted(self, item: object) -> object:
        return [*map(self.item.converted, item)] if isinstance(item, (list, tuple)) else item

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema()}

    def sockets(self) -> Iterator[Value]:
        return self.item.sockets()

    def bounded(self, bounds: Range) -> Type:
        return ListOf(self.item.bounded(bounds))

    def described(self, choices: Choices) -> Type:
        return ListOf(self.item.described(choices))

    def __str__(self) -> str:
        return f"list of {self.item}"


@dataclass(frozen=True)
class Either(Type):
    """A union; the first option that accepts a literal converts it."""

    options: tuple[Type, ...]

    def literal(self, given: object) -> Any:
        if given is None and Nothing() in self.options:
            return None
        faults = []
        for option in self.options:
            try:
                return option.literal(given)
            except LiteralError as fault:
                faults.append((option, fault))
        raise self._likeliest(given, faults)

    def _likeliest(self, given: object, faults: list[tuple[Type, LiteralError]]) -> LiteralError:
        """The error of the option that was probably meant: one for values of this type, which may be out of its bounds,
        else the list for an array, else the first that is not a list.
        """
        array = isinstance(given, (list, tuple))
        meant = [fault for option, fault in faults if option.admits(given)]
        meant = meant or [fault for option, fault in faults if isinstance(option, ListOf) is array]
        return meant[0] if meant else faults[0][1]

    def accepts(self, other: Type) -> bool:
        if isinstance(other, Either):
            return all(self.accepts(option) for option in other.options)
        return any(option.accepts(other) for option in self.options)

    def admits(self, item: object) -> bool:
        return any(option.admits(item) for option in self.options)

    def converted(self, item: object) -> object:
        made = (option.converted(item) for option in self.options)
        return next((one for one in made if self.admits(one)), item)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [option.schema() for option in self.options if option != Nothing()]}

    def sockets(self) -> Iterator[Value]:
        for option in self.options:
            yield from option.sockets()

    def bounded(self, bounds: Range) -> Type:
        return Either(tuple(option.bounded(bounds) for option in self.options))

    def described(self, choices: Choices) -> Type:
        return Either(tuple(option.described(choices) for option in self.options))

    def __str__(self) -> str:
        options = (part for option in self.options if option != Nothing() for part in str(option).split(" or "))
        return " or ".join(dict.fromkeys(options))


def list_item(wanted: Type) -> Type | None:
    """The item type where `wanted` takes a list, else None."""
    options = wanted.options if isinstance(wanted, Either) else (wanted,)
    return next((option.item for option in options if isinstance(option, ListOf)), None)


def read(annotation: Any) -> Type:
    """The socket type that a Python annotation means.

    Raises:
        CatalogError: for an annotation that cannot be an input type.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        inner = read(arguments[0])
        for mark in arguments[1:]:
            inner = inner.bounded(mark) if isinstance(mark, Range) else inner
            inner = inner.described(mark) if isinstance(mark, Choices) else inner
        return inner
    if origin in (typing.Union, types.UnionType):
        return Either(tuple(map(read, arguments)))
    if origin is typing.Literal and all(isinstance(option, str) for option in arguments):
        return Choice(arguments)
    if origin in (list, tuple) and (origin is list or (len(arguments) == 2 and arguments[1] is Ellipsis)):
        return ListOf(read(arguments[0]))
    return _read_class(annotation, origin, arguments)


def _read_class(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> Type:
    if annotation in (Any, object):
        return Anything()
    if isinstance(annotation, TypeVar):
        return Variable(annotation.__name__, tuple(map(read, annotation.__constraints__)))
    if annotation in (None, type(None)):
        return Nothing()
    if annotation in (int, float, bool, str):
        return Scalar(annotation.__name__)
    cls = origin or annotation
    if isinstance(cls, type) and VALUES.get(cls.__name__) is cls:
        return Value(cls.__name__, *_family(arguments))
    found = annotation.__name__ if isinstance(annotation, type) else repr(annotation)
    raise CatalogError(f"{found} cannot be an input type (register a value class with @value)")


def _family(arguments: tuple[Any, ...]) -> tuple[str | None, str | None]:
    """`Latent[F]` -> ("F", None); `Latent[SDXL]` -> (None, "SDXL"); `Latent` and `Latent[Any]` -> (None, None)."""
    if not arguments or arguments[0] is Any:
        return None, None
    name = str(arguments[0].__name__)
    return (name, None) if isinstance(arguments[0], TypeVar) else (None, name)


def field_values(item: object) -> dict[str, Any]:
    """The fields of a registered value, by name, in order."""
    return {field.name: getattr(item, field.name) for field in fields(typing.cast(Any, item))}


def stored_values(item: object) -> dict[str, Any]:
    """The fields of a registered value that its digest has: all but those added later that have their default."""
    known = fields(typing.cast(Any, item))
    found = {one.name: getattr(item, one.name) for one in known}
    for one in known:
        if one.metadata and _ADDED in one.metadata and is_default(found[one.name], one.default):
            del found[one.name]
    return found


SCALARS = frozenset({types.NoneType, bool, int, float, str})
"""What nearly all literals are. Looked at first, since `isinstance` with an abstract class costs ten times as much."""


def check_values(item: object) -> None:
    """Let every value inside of a value check itself, by the method `check_value` of its class where it has one.

    Raises:
        InputError: for one that cannot be used.
    """
    if type(item) in SCALARS:
        return
    if isinstance(item, (list, tuple)):
        for one in item:
            check_values(one)
    elif isinstance(item, Mapping):
        check_values([*item.values()])
    elif VALUES.get(type(item).__name__) is type(item):
        check_values([*field_values(item).values()])
        if (check := getattr(item, "check_value", None)) is not None:
            check()


def is_default(given: object, default: object) -> bool:
    """Whether a value is a default of a plain type, or the empty tuple."""
    plain = isinstance(default, (types.NoneType, bool, int, float, str)) or default == ()
    return plain and type(given) is type(default) and repr(given) == repr(default)  # 0.0 equals -0.0, their bits differ
