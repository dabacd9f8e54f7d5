"""Sizes and times as people write them."""

from __future__ import annotations

import pytest

from weft.engine.quantities import seconds, size


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
