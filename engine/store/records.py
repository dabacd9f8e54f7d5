"""A record is the result of one call: for each output the digest of its value, and the value on request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from weft.engine.keys import Digest


@dataclass(frozen=True)
class Computed:
    """An output as a node returned it: its value and the digest of the value."""

    value: Any
    digest: Digest

    def load(self) -> Any:
        """The value; named as in `Handle`, so that callers need not tell the two apart."""
        return self.value


@dataclass(frozen=True)
class Handle:
    """An output as a store has it.

    Args:
        digest: of the value, known without reading it.
        load: reads the value, in any thread; raises `CorruptRecord` where the stored bytes are damaged or gone.
    """

    digest: Digest
    load: Callable[[], Any]


@dataclass(frozen=True)
class Record:
    """The result of one call.

    Args:
        outputs: by name.
        seconds: how long the call took.
        tier: the name of the store that it comes from, as plans print it.
    """

    outputs: Mapping[str, Handle | Computed]
    seconds: float
    tier: str = ""
