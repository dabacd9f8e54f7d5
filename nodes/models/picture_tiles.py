"""Pictures through a network in overlapping tiles, joined without seams. Imports torch when a function is called.

A network sees no further than the edge of what it is given, so the outer quarter of an overlap is left out, and the two
tiles are blended linearly over the half in its middle. All tiles have one size; they are spread evenly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Cut:
    """One tile along one side of a picture, in pixels.

    Args:
        start: where it begins.
        length: how long it is.
        before: pixels that it shares with the tile before it; 0 for the first one.
        after: pixels that it shares with the next one; 0 for the last one.
    """

    start: int
    length: int
    before: int
    after: int

    def taken(self, scale: int = 1) -> slice:
        """Its pixels in the picture, or in one that is enlarged."""
        return slice(self.start * scale, (self.start + self.length) * scale)

    def weights(self, scale: int) -> Tensor:
        """How much the tile counts at each pixel of what is made of it; those of all tiles add up to 1."""
        import torch

        places = (torch.arange(self.length * scale, dtype=torch.float32) + 0.5) / scale
        rising = _ramp(places, self.before, self.length)
        return rising * (1 - _ramp(places - (self.length - self.after), self.after, self.length))


def _ramp(places: Tensor, shared: int, length: int) -> Tensor:
    """From 0 to 1 over the middle of what two tiles share; 1 or 0 throughout where they share nothing."""
    if not shared:
        return (places >= 0).float()
    width = min(shared / 2, length - shared)
    return ((places - (shared - width) / 2) / width).clamp(0, 1)


def cuts(size: int, tile: int, overlap: int) -> list[Cut]:
    """The tiles along a side: one, where it is no longer than a tile, else as few as overlap enough."""
    if size <= tile:
        return [Cut(0, size, 0, 0)]
    count = math.ceil((size - overlap) / (tile - overlap))
    starts = [round(number * (size - tile) / (count - 1)) for number in range(count)]
    shared = [0, *(one + tile - other for one, other in pairwise(starts)), 0]
    return [Cut(start, tile, shared[number], shared[number + 1]) for number, start in enumerate(starts)]


@dataclass(frozen=True)
class Tiles:
    """The tiles of a picture.

    Args:
        tile: their side in pixels.
        overlap: the least number of pixels that two share, less than half of a tile's side.
    """

    height: int
    width: int
    tile: int
    overlap: int

    def __iter__(self) -> Iterator[tuple[Cut, Cut]]:
        """Each tile, by its cuts down and across."""
        down, across = (cuts(size, self.tile, self.overlap) for size in (self.height, self.width))
        return product(down, across)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def joined(self, picture: Tensor, scale: int, enlarge: Callable[[Tensor], Tensor]) -> Tensor:
        """What a network makes of a picture `[1, channel, height, width]`, a tile at a time.

        Args:
            scale: by which it enlarges.
            enlarge: the network; gives `[1, channel, height * scale, width * scale]` on the CPU.
        """
        import torch

        made: Tensor | None = None
        for down, across in self:
            tile = enlarge(picture[:, :, down.taken(), across.taken()])
            if made is None:
                made = torch.zeros(1, tile.shape[1], self.height * scale, self.width * scale, dtype=torch.float32)
            weights = down.weights(scale)[:, None] * across.weights(scale)
            made[:, :, down.taken(scale), across.taken(scale)] += tile * weights
        assert made is not None  # a picture has a pixel, so there is a tile
        return made
