"""Sizes and times as people write them."""

from __future__ import annotations

import pytest

from weft.engine.quantities import seconds, shown_size, size


@pytest.mark.parametrize(("text", "count"), [("2048", 2048), ("500M", 5 * 10**8), ("1.5 GB", 15 * 10**8), ("2k", 2000)])
def test_sizes_are_decimal(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("1.5h", 5400), ("2d", 172_800), ("1w", 604_800)])
def test_times_are_in_seconds(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "M", "-1G", "5x", "1 2"])
def test_other_texts_are_refused(text: str) -> None:
    for read in (size, seconds):
        with pytest.raises(ValueError):
            read(text)


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (47_300, "47 kB"),
        (3_300_000, "3.3 MB"),
        (34 * 10**9, "34 GB"),
    ],
)
def test_sizes_are_shown_in_the_largest_unit_that_they_fill(count: int, shown: str) -> None:
    assert shown_size(count) == shown
