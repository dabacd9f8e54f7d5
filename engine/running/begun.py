"""What a step holds until its result is kept: its claim, and its place among what the engine computes.

It may begin in one thread and end in another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import NamedTuple

from weft.engine.store.claims import UNCLAIMED


def _nothing() -> None:
    """Nothing is released."""


class Begun(NamedTuple):
    """A step that begins; its block yields whether its result may be in the store by now.

    Args:
        release: lets other runs of the engine compute the step.
    """

    claim: AbstractContextManager[object] = UNCLAIMED
    may_be_there: bool = False
    release: Callable[[], None] = _nothing

    def __enter__(self) -> bool:
        if self.claim is not UNCLAIMED:
            try:
                self.claim.__enter__()
            except BaseException:
                self.release()
                raise
        return self.may_be_there

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.claim is not UNCLAIMED:
                self.claim.__exit__(kind, fault, trace)
        finally:
            self.release()

    def drop(self) -> None:
        """Release what is held by a step that does not begin after all."""
        with self:
            pass
