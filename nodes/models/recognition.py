"""Recognising a model by headers and configurations that anybody may have written: an answer, or an `InputError`.

Families read shapes and configurations as those of their own models. In a file of somebody else the same names may have
any shapes and values; what then fails is no fault of Weft, and the file is no model of that family. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from weft.engine import InputError
from weft.nodes.models.contents import Contents

T = TypeVar("T")

RAISED = (ArithmeticError, AttributeError, LookupError, RecursionError, StopIteration, TypeError, ValueError)
"""What reading a header or a configuration raises where it has other names, shapes or types than a model's."""

LARGEST = 2**31
"""Above every size in the facts of a model."""


def recognised(recognise: Callable[[Contents], T | None], contents: Contents) -> T | None:
    """What a family says of a file; None where it is none of its own, also where it has the names but not the shapes.

    Raises:
        InputError: where the family refuses the file.
    """
    try:
        facts = recognise(contents)
    except RAISED:
        return None
    return facts if is_sound(facts) else None


def is_sound(facts: object) -> bool:
    """Whether the fields of facts have their declared types, and numbers are sizes.

    Configurations say what they like: a width may be a text in them, or a list.
    """
    if not is_dataclass(facts):
        return True
    return all(_is_sound(str(one.type), getattr(facts, one.name)) for one in fields(facts))


def _is_sound(declared: str, found: Any) -> bool:
    if declared == "int":
        return type(found) is int and 0 <= found < LARGEST
    if declared == "str":
        return isinstance(found, str)
    if declared == "PromptWidths":
        return all(_is_sound("int", width) for width in found)
    if declared.startswith("Mapping"):
        return isinstance(found, Mapping) and all(map(is_sound, found.values()))
    return is_sound(found)


@contextmanager
def read_as_model(name: str) -> Iterator[None]:
    """While open, what fails because of the content of a model's files is an `InputError` about these.

    Args:
        name: of the file or folder, for messages.
    """
    try:
        yield
    except RAISED as fault:
        raise InputError(
            f"`{name}` cannot be read as a model: its header or a configuration is not as any model's "
            f"({type(fault).__name__}: {str(fault)[:100]})",
            "get the model again",
            "damaged-file",
        ) from fault
