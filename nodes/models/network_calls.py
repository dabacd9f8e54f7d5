"""Calls of networks: for inference alone, and with errors of torch, diffusers and transformers in words.

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING

from weft.engine import InputError, WeftError
from weft.engine.out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    from torch import Tensor

RAISED = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What libraries raise where a network is given what it cannot take."""

LONGEST = 200
"""Characters of a library's own words that are quoted."""


@contextmanager
def library_errors(refusal: Callable[[str], InputError], kinds: tuple[type[Exception], ...] = RAISED) -> Iterator[None]:
    """While open, errors of libraries become an `InputError`; an error for lack of memory stays what it is.

    Args:
        refusal: makes the error, given the beginning of the library's message.
        kinds: the classes of errors that count.

    Raises:
        InputError: for an error of a library.
    """
    try:
        yield
    except WeftError:
        raise
    except kinds as fault:
        if is_out_of_memory(fault):
            raise
        raise refusal(first_line(fault)) from fault


@contextmanager
def network_call(network: str, given: Mapping[str, Tensor], wants: str = "") -> Iterator[None]:
    """A call of a network without what gradients need; errors of libraries become an `InputError`.

    What the call gives are inference tensors: they are read, and neither changed in place nor trained with. Within
    `for_training` it gives tensors with gradients.

    Args:
        network: what is called, for the message.
        given: tensors that it is called with, by what they are.
        wants: what it takes; empty where that is not known.
    """

    def refusal(line: str) -> InputError:
        sizes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in given.items())
        expected = f"; it takes {wants}" if wants else ""
        return InputError(
            f"{network} cannot be run on {sizes or 'what it was given'}{expected} ({line})",
            "use parts that were made for each other, or another size",
            "network-failed",
        )

    import torch

    with library_errors(refusal), nullcontext() if _TRAINING.get() else torch.inference_mode():
        yield


_TRAINING: ContextVar[bool] = ContextVar("calls of networks keep what gradients need", default=False)


@contextmanager
def for_training() -> Iterator[None]:
    """While open, calls of networks keep what gradients need."""
    token = _TRAINING.set(True)
    try:
        yield
    finally:
        _TRAINING.reset(token)


def reading_weights(name: str) -> AbstractContextManager[None]:
    """Errors of libraries become an `InputError` about the files of a model, as in `library_errors`.

    Args:
        name: of the source, for the message.
    """

    def refusal(line: str) -> InputError:
        return InputError(
            f"the weights of `{name}` cannot be read ({line})", "get the model's files again", "damaged-file"
        )

    return library_errors(refusal, (Exception,))  # libraries have errors of their own, which differ by version


def first_line(fault: BaseException) -> str:
    """The beginning of a library's message, with the name of the error; a heading comes with the line below it."""
    head, *rest = [line.strip() for line in str(fault).strip().splitlines()] or [""]
    line = f"{head} {rest[0]}" if head.endswith(":") and rest else head
    return f"{type(fault).__name__}: {line[:LONGEST]}" if line else type(fault).__name__
