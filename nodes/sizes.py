"""Sizes of pictures, masks and latents, as far as they are known before a run: from headers, literals and links.

A node type that gives pictures, masks or latents declares its size: `@node(..., traits=(SizeTraits(...),))`. Checks ask
`size_above` for what arrives at an input. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from weft.engine import InputError, Limits, NodeProblem, Upstream, check_pixels

MOST_NODES = 200
"""Nodes that are followed upwards from an input; the size of what comes from further away is not known."""


MOST_IN_A_ROW = 16
"""Nodes in a row that are followed upwards to count items; those of a longer row are not known."""


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
        batch: takes a node of the type, and how many items arrive; returns how many the node gives, or None where that
            is not known. Without it, it gives as many as it takes, and one where it takes none.
        batch_of: the inputs whose items are counted, where these are others than `of`: one item of one of them goes
            with all of the others, so the most of them count; those of a list follow each other.
    """

    size: Callable[[Upstream, Size | None], Size | None]
    of: str = ""
    batch: Callable[[Upstream, int], int | None] | None = None
    batch_of: tuple[str, ...] = ()

    @property
    def counted(self) -> tuple[str, ...]:
        """The inputs whose items are counted."""
        return self.batch_of or ((self.of,) if self.of else ())


def same_size(node: Upstream, source: Size | None) -> Size | None:
    """The size of a node that gives what it takes in the same size."""
    return source


def no_size(node: Upstream, source: Size | None) -> None:
    """The size of a node whose items have none, such as encoded pictures: only their number is known."""


def literal_size(node: Upstream, source: Size | None) -> Size | None:
    """The size of a node that has it in its inputs `width` and `height`."""
    given = literals_of(node, "width", "height")
    return Size(*given) if given else None


def literals_of(node: Upstream, *names: str) -> list[Any] | None:
    """The literals of some inputs; None where one of them comes over a link, or is refused."""
    given = node.literals
    return [given[name] for name in names] if given.keys() >= {*names} else None


def check_frames(input: str, others: int, inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """Find what is wrong with the size of empty latents with frames, which are within the limits all together.

    Args:
        input: that says how many frames there are, `others` not counted.
    """
    try:
        height = inputs.get("height", 1) * (inputs.get(input, 1 - others) + others)
        check_pixels(inputs.get("width", 1), height, inputs.get("batch_size", 1), limits)
    except InputError as fault:
        yield NodeProblem.of(fault, "batch_size" if fault.code == "batch-too-large" else input)


def frames_of(input: str, others: int, node: Upstream, _: int) -> int | None:
    """The frames of empty latents, which count as items; None for several: a picture may be for all or for a frame."""
    given = literals_of(node, input, "batch_size")
    return int(given[0]) + others if given and given[1] == 1 else None


def size_above(node: Upstream, input: str) -> Size | None:
    """The size of what arrives at an input; None where that is not known before a run."""
    return next(iter(sizes_in(node, input)), None)


def sizes_in(node: Upstream, input: str) -> list[Size | None]:
    """The sizes of what arrives at an input, one for each element of a list; None where one is not known."""
    return [_size_given(above) for above in node.each_above(input)]


def _size_given(node: Upstream | None) -> Size | None:
    size: Size | None = None
    for traits, one in _sized(node):
        size = traits.size(one, size)
    return size


def batch_above(node: Upstream, input: str) -> int | None:
    """How many pictures, masks or latents arrive at an input; None where that is not known before a run."""
    return _arriving(node, input, {}, MOST_IN_A_ROW)


def _arriving(node: Upstream, input: str, known: dict[str, int | None], nodes: int) -> int | None:
    """How many arrive at an input, those of a list together.

    Args:
        known: how many nodes give, by their ids; those that are counted are added.
        nodes: how many nodes in a row may still be followed.
    """
    return _whole(sum, [_given_by(above, known, nodes) if above else None for above in node.each_above(input)])


def _given_by(node: Upstream, known: dict[str, int | None], nodes: int) -> int | None:
    """How many pictures, masks or latents a node gives."""
    id, traits = node.call.id, node.call.type.trait(SizeTraits)
    if id not in known:
        known[id] = None
        if traits and nodes:
            linked = [input for input in traits.counted if node.call.inputs.get(input) is not None]
            most = _whole(max, [_arriving(node, input, known, nodes - 1) for input in linked]) if linked else 1
            known[id] = traits.batch(node, most) if most and traits.batch else most
    return known[id]


def _whole(over: Callable[[list[int]], int], counts: list[int | None]) -> int | None:
    """The sum or the largest of counts; None where there is none, or one is not known."""
    found = [one for one in counts if one is not None]
    return over(found) if found and len(found) == len(counts) else None


def _sized(node: Upstream | None) -> list[tuple[SizeTraits, Upstream]]:
    """The nodes that the size of what a node gives depends on, the first one first; none where it is not known.

    What is made of a list has the size of its first element.
    """
    chain: list[tuple[SizeTraits, Upstream]] = []
    while node is not None:
        traits = node.call.type.trait(SizeTraits)
        if traits is None or len(chain) == MOST_NODES:
            return []
        chain.append((traits, node))
        node = next(iter(node.each_above(traits.of)), None) if traits.of else None
    return chain[::-1]


def size_of(pixels: Any) -> Size:
    """The size of pixels `[batch, height, width, ...]`."""
    return Size(pixels.shape[2], pixels.shape[1])
