"""Sizes of pictures, masks and latents, as far as they are known before a run: from headers, literals and links.

A node type that gives pictures, masks or latents declares its size: `@node(..., traits=(SizeTraits(...),))`. Checks ask
`size_above` for what arrives at an input. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from weft.engine import Upstream

MOST_NODES = 200
"""Nodes that are followed upwards from an input; the size of what comes from further away is not known."""


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width} x {self.height}"


@dataclass(frozen=True)
class SizeTraits:
    """The size, in pixels, of the pictures, masks or latents that a node type gives.

    Args:
        size: takes a node of the type, and the size of what arrives at its input `of`, where that is known; returns the
            size of what the node gives, or None where that is not known before it runs.
        of: the input that the size depends on; empty where it depends on none.
        batch: takes a node of the type, and how many items arrive at its input `of`; returns how many the node gives.
            Without it, it gives as many as it takes, and one where it takes none.
    """

    size: Callable[[Upstream, Size | None], Size | None]
    of: str = ""
    batch: Callable[[Upstream, int], int] | None = None


def same_size(node: Upstream, source: Size | None) -> Size | None:
    """The size of a node that gives what it takes in the same size."""
    return source


def literal_size(node: Upstream, source: Size | None) -> Size | None:
    """The size of a node that has it in its inputs `width` and `height`."""
    given = literals_of(node, "width", "height")
    return Size(*given) if given else None


def literals_of(node: Upstream, *names: str) -> list[Any] | None:
    """The literals of some inputs; None where one of them comes over a link, or is refused."""
    given = node.literals
    return [given[name] for name in names] if given.keys() >= {*names} else None


def size_above(node: Upstream, input: str) -> Size | None:
    """The size of what arrives at an input; None where that is not known before a run."""
    size: Size | None = None
    for traits, one in _sized_above(node, input):
        size = traits.size(one, size)
    return size


def batch_above(node: Upstream, input: str) -> int | None:
    """How many pictures, masks or latents arrive at an input; None where that is not known before a run."""
    count: int | None = None
    for traits, one in _sized_above(node, input):
        count = traits.batch(one, count or 1) if traits.batch else count or 1
    return count


def _sized_above(node: Upstream, input: str) -> list[tuple[SizeTraits, Upstream]]:
    """The nodes that the size of what arrives depends on, the first one first; none where it is not known."""
    chain: list[tuple[SizeTraits, Upstream]] = []
    above = node.above(input)
    while above is not None:
        traits = above.call.type.trait(SizeTraits)
        if traits is None or len(chain) == MOST_NODES:
            return []
        chain.append((traits, above))
        above = above.above(traits.of) if traits.of else None
    return chain[::-1]


def size_of(pixels: Any) -> Size:
    """The size of pixels `[batch, height, width, ...]`."""
    return Size(pixels.shape[2], pixels.shape[1])
