"""The colours of pictures, as `#rrggbb`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PAPER, CARD, EDGE, INK, FAINT, SHADOW = "#f6f7f9", "#ffffff", "#d5dae1", "#1f2733", "#7a8594", "#e6e9ee"
"""The ground, a box, its edge, text, text that names, and what lies under a box."""

PLAIN = "#6b7480"
"""Of boxes whose type or category is not known."""

HUES = ("#3d6fb6", "#b4652d", "#3f8f5f", "#8a56ac", "#b8873b", "#2f8a94", "#b24a6b", "#5b64c0", "#6f8d2f", "#a8503f")
"""Of categories, dark enough for white text: a contrast of 3.2 or more."""


def by_category(categories: Sequence[str]) -> Mapping[str, str]:
    """The colour of each category, in turn."""
    return {name: HUES[number % len(HUES)] for number, name in enumerate(filter(None, categories))}
