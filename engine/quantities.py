"""Sizes and times as people write them: `500M`, `20G`, `12h`, `30d`."""

from __future__ import annotations

import re

_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def size(text: str) -> int:
    """A number of bytes: `500M`, `1.5 GB`, `2048`; the units are decimal.

    Raises:
        ValueError: where it is no size.
    """
    return int(_measure(text, _SIZES))


def seconds(text: str) -> float:
    """A time in seconds: `90s`, `12h`, `30d`.

    Raises:
        ValueError: where it is no time.
    """
    return _measure(text, _TIMES)


def shown_size(count: int) -> str:
    """A number of bytes as people write it, with two digits at least: `3.3 MB`, `12 kB`."""
    power = min((len(str(count)) - 1) // 3, len(_SIZES) - 1)
    units = ("bytes", "kB", "MB", "GB", "TB")
    number = count / 1000**power
    return f"{number:.1f} {units[power]}" if power and number < 10 else f"{number:.0f} {units[power]}"


def _measure(text: str, units: dict[str, int]) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]?)b?", text.strip().lower())
    if match is None or match[2] not in units:
        raise ValueError(text)
    return float(match[1]) * units[match[2]]
