"""A record is the result of one call: for each output the digest of its value, and the value on request."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from weft.engine.errors import CorruptRecord, listed
from weft.engine.keys import Digest


class Computed(NamedTuple):
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


class Record(NamedTuple):
    """The result of one call.

    Args:
        outputs: by name.
        seconds: how long the call took.
        tier: the name of the store that it comes from, as plans print it.
        made_by: the name of the node type whose call it is; empty where the store does not say.
    """

    outputs: Mapping[str, Handle | Computed]
    seconds: float
    tier: str = ""
    made_by: str = ""

    def check(self, key: Digest, type_name: str, outputs: Collection[str]) -> None:
        """Hold the record to the node type whose call it is taken for.

        Args:
            key: that it was asked by.
            outputs: the names of the type's outputs.

        Raises:
            CorruptRecord: where it is that of another node type.
        """
        if (self.made_by and self.made_by != type_name) or self.outputs.keys() != set(outputs):
            found = f"{self.made_by or 'a node'} with {listed(self.outputs)}"
            raise CorruptRecord(key, f"it is the result of {found}, expected {type_name} with {listed(outputs)}")
