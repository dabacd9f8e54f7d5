"""What is worth knowing about a call and no fault of it: notices, from anywhere inside of a node that runs.

A file may hold what nothing reads. Where its header says so, the notice is in `Resolved.notices` and in the warnings of
a check. Where it only shows as weights are loaded, `give_notice` passes it to the run that the call belongs to.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass

from weft.engine.bound_variable import BoundVariable


@dataclass(frozen=True)
class Notice:
    """A warning about a file or a value.

    Args:
        message: what was found.
        hint: what the user can do about it.
        code: its kind, in kebab case.
    """

    message: str
    hint: str
    code: str

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


def _python_warning(notice: Notice) -> None:
    warnings.warn(str(notice), stacklevel=3)


_RECEIVER: ContextVar[Callable[[Notice], None]] = ContextVar("who gets notices", default=_python_warning)


def give_notice(notice: Notice) -> None:
    """Pass a notice to the run of the present node; outside of any run it is a Python warning."""
    _RECEIVER.get()(notice)


def receiving(receiver: Callable[[Notice], None]) -> AbstractContextManager[None]:
    """While the block runs, notices of its code go to `receiver`."""
    return BoundVariable(_RECEIVER, receiver)
