"""What a call of a node is asked to save, where it or one like it ran out of memory before, and what it could save."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Saving = Literal["attention", "tiles", "calls", "blocks", "layers"]
"""`attention`: compute attention in slices, where the device has no kernel that does without all scores. `tiles`:
decode and encode pictures in pieces, where the result is the same. `calls`: call a network once for each prompt, where
several share a call. `blocks`: keep the blocks of networks on the host, and send each to the device as it runs.
`layers`: the same with each layer by itself."""

SAVINGS: tuple[Saving, ...] = ("attention", "tiles", "calls", "blocks", "layers")
"""In the order in which they are asked for."""

WORDS: Mapping[Saving, str] = {
    "attention": "with attention in slices",
    "tiles": "in tiles",
    "calls": "with a call of the network for each prompt",
    "blocks": "with networks sent to the device block by block",
    "layers": "with networks sent to the device layer by layer",
}
"""How a node is called again under a saving."""


@dataclass(frozen=True)
class Savings:
    """What one call is asked to save.

    Args:
        wanted: what is to be saved.
        possible: what the call could save, which it notes as it looks.
    """

    wanted: frozenset[Saving] = frozenset()
    possible: set[Saving] = field(default_factory=set)

    def asks_for(self, saving: Saving) -> bool:
        """Whether something is to be saved; notes that the call could."""
        self.possible.add(saving)
        return saving in self.wanted

    def next(self) -> Savings | None:
        """The same with one more that is possible and not asked for; None where there is none."""
        more = next((one for one in SAVINGS if one in self.possible - self.wanted), None)
        return None if more is None else Savings(self.wanted | {more})

    def __str__(self) -> str:
        surpassed = {"blocks"} if "layers" in self.wanted else set[str]()
        return " and ".join(WORDS[one] for one in SAVINGS if one in self.wanted - surpassed)
