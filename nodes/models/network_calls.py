"""Errors of torch, diffusers and transformers in the call of a network, in words: which network, and what it was given.

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from weft.engine import InputError, WeftError

if TYPE_CHECKING:
    from torch import Tensor

RAISED = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What libraries raise where a network is given what it cannot take."""

LONGEST = 200
"""Characters of a library's own words that are quoted."""


@contextmanager
def network_call(network: str, given: Mapping[str, Tensor], wants: str = "") -> Iterator[None]:
    """While open, errors of libraries become an `InputError`; an error for lack of memory stays what it is.

    Args:
        network: what is called, for the message.
        given: tensors that it is called with, by what they are.
        wants: what it takes; empty where that is not known.

    Raises:
        InputError: for an error of a library.
    """
    try:
        yield
    except WeftError:
        raise
    except RAISED as fault:
        if is_out_of_memory(fault):
            raise
        sizes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in given.items())
        expected = f"; it takes {wants}" if wants else ""
        raise InputError(
            f"{network} cannot be run on {sizes or 'what it was given'}{expected} ({first_line(fault)})",
            "use parts that were made for each other, or another size",
            "network-failed",
        ) from fault


@contextmanager
def reading_weights(name: str) -> Iterator[None]:
    """While open, errors of libraries become an `InputError` about the files of a model.

    Args:
        name: of the source, for the message.

    Raises:
        InputError: for an error of a library.
    """
    try:
        yield
    except WeftError:
        raise
    except Exception as fault:  # libraries have errors of their own, which differ by version
        if is_out_of_memory(fault):
            raise
        raise InputError(
            f"the weights of `{name}` cannot be read ({first_line(fault)})",
            "get the model's files again",
            "damaged-file",
        ) from fault


def first_line(fault: BaseException) -> str:
    """The beginning of a library's message, with the name of the error; a heading comes with the line below it."""
    head, *rest = [line.strip() for line in str(fault).strip().splitlines()] or [""]
    line = f"{head} {rest[0]}" if head.endswith(":") and rest else head
    return f"{type(fault).__name__}: {line[:LONGEST]}" if line else type(fault).__name__


def is_out_of_memory(fault: BaseException) -> bool:
    """Whether torch lacked memory; CUDA's error says so in its class, the CPU's in its text."""
    return (
        isinstance(fault, MemoryError)
        or "out of memory" in str(fault).lower()
        or "allocate memory" in str(fault).lower()
    )
