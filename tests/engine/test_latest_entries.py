"""A memory of what came last, used by several threads."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from weft.engine.latest_entries import LatestEntries


def test_the_oldest_goes_and_what_is_put_again_is_the_latest() -> None:
    kept = LatestEntries[str, int](2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        kept.put(key, value)
    assert (kept.get("a"), kept.get("b"), kept.take("c"), kept.take("c"), len(kept)) == (3, None, 4, None, 1)


def test_threads_may_use_it_at_once() -> None:
    kept, before = LatestEntries[int, int](20), sys.getswitchinterval()

    def use(first: int) -> None:
        for key in range(first, first + 3000):
            kept.put(key, key)
            kept.take(key - 5)

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            [*threads.map(use, range(0, 80_000, 10_000))]
    finally:
        sys.setswitchinterval(before)
    assert len(kept) <= 20
