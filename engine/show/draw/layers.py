"""Layers from left to right, after Sugiyama, Tagawa and Toda (1981): the layer of each item, its order there, its top.

An item stands to the right of everything that it is linked from. A link that passes layers gets a pin in each, so that
it runs between the boxes there. Sweeps order each layer by the barycentres of its neighbours; then every item moves as
near to the height of its neighbours as its order allows, a least-squares problem that pooling solves exactly.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

SWEEPS = 12
"""How often the layers are gone through, to the right and back."""

BOX_GAP, PIN_GAP = 26.0, 15.0
"""What lies at least between two boxes of a layer, and between a pin and its neighbours."""


class LineSegment(NamedTuple):
    """A link between items of two neighbouring layers, with its height in each, from the item's top."""

    left: str
    left_at: float
    right: str
    right_at: float


@dataclass
class Layers:
    """Items in layers: boxes and pins by key, their heights, and the segments between them.

    Args:
        heights: of each item; a pin has none.
        ranks: the layer of each item.
        segments: between neighbouring layers.
    """

    heights: Mapping[str, float]
    ranks: Mapping[str, int]
    segments: Sequence[LineSegment]
    rows: list[list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = [[] for _ in range(max(self.ranks.values(), default=-1) + 1)]
        for key, rank in self.ranks.items():
            self.rows[rank].append(key)
        self._from_left, self._from_right = defaultdict(list), defaultdict(list)
        for one in self.segments:
            self._from_left[one.right].append(one)
            self._from_right[one.left].append(one)

    def tops(self) -> dict[str, float]:
        """The top of each item, the least at 0; orders the rows on the way."""
        self._untangle()
        tops = {key: top for row in self.rows for key, top in zip(row, self._stacked(row), strict=True)}
        for sweep in range(SWEEPS):
            for row in self.rows if sweep % 2 == 0 else reversed(self.rows):
                tops |= zip(row, self._settled(row, tops), strict=True)
        least = min(tops.values(), default=0.0)
        return {key: top - least for key, top in tops.items()}

    def _untangle(self) -> None:
        """Order the rows; of all sweeps, the order with the fewest crossings."""
        best, fewest = [list(row) for row in self.rows], self._crossings()
        for sweep in range(SWEEPS):
            if not fewest:
                break
            to_the_right = sweep % 2 == 0
            for row in self.rows if to_the_right else reversed(self.rows):
                self._sort(row, to_the_right)
            if (crossings := self._crossings()) < fewest:
                best, fewest = [list(row) for row in self.rows], crossings
        self.rows = best

    def _sort(self, row: list[str], to_the_right: bool) -> None:
        places = self._places()
        neighbours = self._from_left if to_the_right else self._from_right

        def barycentre(key: str) -> float:
            ends = [_end(one, places, left=to_the_right) for one in neighbours[key]]
            return sum(ends) / len(ends) if ends else places[key][0]

        row.sort(key=barycentre)

    def _places(self) -> dict[str, tuple[float, float]]:
        """The place of each item in its row, from 0 to 1, and what a height in it counts for."""
        return {
            key: (number / len(row), 1 / len(row) / max(self.heights[key], 1.0))
            for row in self.rows
            for number, key in enumerate(row)
        }

    def _crossings(self) -> int:
        """How many pairs of segments cross."""
        places = self._places()
        between: dict[int, list[tuple[float, float]]] = defaultdict(list)
        for one in self.segments:
            between[self.ranks[one.left]].append((_end(one, places, left=True), _end(one, places, left=False)))
        return sum(map(_inversions, between.values()))

    def _stacked(self, row: Sequence[str]) -> list[float]:
        """The least tops that a row can have."""
        tops = [0.0]
        for above, below in pairwise(row):
            gap = BOX_GAP if self.heights[above] and self.heights[below] else PIN_GAP
            tops.append(tops[-1] + self.heights[above] + gap)
        return tops[: len(row)]

    def _settled(self, row: Sequence[str], tops: Mapping[str, float]) -> list[float]:
        """Tops nearest to where each item's neighbours want it, by weighted least squares, in the row's order."""
        offsets = self._stacked(row)
        wanted, weights = zip(*(self._wanted(key, tops) for key in row), strict=True)
        return [pooled + offset for pooled, offset in zip(_pooled(wanted, weights, offsets), offsets, strict=True)]

    def _wanted(self, key: str, tops: Mapping[str, float]) -> tuple[float, float]:
        """The top that would make an item's segments level, and how much that matters: a bent pin looks worst."""
        levels = [tops[one.left] + one.left_at - one.right_at for one in self._from_left[key]]
        levels += [tops[one.right] + one.right_at - one.left_at for one in self._from_right[key]]
        if not levels:
            return tops[key], 0.1
        return sum(levels) / len(levels), len(levels) * (1.0 if self.heights[key] else 4.0)


def _end(one: LineSegment, places: Mapping[str, tuple[float, float]], left: bool) -> float:
    """The place of one end of a segment in its row."""
    key, at = (one.left, one.left_at) if left else (one.right, one.right_at)
    start, share = places[key]
    return start + at * share


def _inversions(pairs: Iterable[tuple[float, float]]) -> int:
    seen: list[float] = []
    count = 0
    for _, right in sorted(pairs):
        count += len(seen) - bisect(seen, right)
        insort(seen, right)
    return count


def _pooled(wanted: Sequence[float], weights: Sequence[float], offsets: Sequence[float]) -> Iterator[float]:
    """Isotonic regression of `wanted - offsets` by pooling adjacent violators (Ayer and others, 1955)."""
    pools: list[tuple[float, float, int]] = []
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, count = want - offset, 1
        while pools and pools[-1][0] > mean:
            above, above_weight, above_count = pools.pop()
            mean = (above * above_weight + mean * weight) / (above_weight + weight)
            weight, count = above_weight + weight, above_count + count
        pools.append((mean, weight, count))
    for mean, _, count in pools:
        yield from [mean] * count


def ranks(keys: Iterable[str], links: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The layer of each key: right of its sources, and near its targets where that shortens links on the whole.

    Args:
        keys: every item.
        links: from key to key; a link that closes a circle may lead back.
    """
    keys, links = list(keys), list(dict.fromkeys(links))
    order = list(_order(keys, links))
    number = {key: place for place, key in enumerate(order)}
    sources, targets = defaultdict(list), defaultdict(list)
    for source, target in links:
        if number[source] < number[target]:
            sources[target].append(source)
            targets[source].append(target)
    found: dict[str, int] = {}
    for key in order:
        found[key] = max((found[source] + 1 for source in sources[key]), default=0)
    for key in reversed(order):
        if targets[key] and len(targets[key]) >= len(sources[key]):
            found[key] = min(found[target] for target in targets[key]) - 1
    return found


def _order(keys: Sequence[str], links: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The keys, each after its sources as far as circles allow."""
    targets = defaultdict(list)
    waiting = Counter(target for _, target in links)
    for source, target in links:
        targets[source].append(target)
    left = dict.fromkeys(keys)
    ready = deque(key for key in keys if not waiting[key])
    while left:
        key = ready.popleft() if ready else next(iter(left))
        if key not in left:
            continue
        del left[key]
        yield key
        for target in targets[key]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
