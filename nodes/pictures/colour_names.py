"""Colours as people write them: `#80c0ff`, `#8cf`, or a name of CSS."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from weft.engine import InputError, Limits, NodeProblem

_HEX = re.compile(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")


def parsed_colour(text: str) -> tuple[float, float, float]:
    """Red, green and blue in 0..1.

    Raises:
        InputError: where the text is no colour.
    """
    if found := _HEX.fullmatch(text):
        digits = found[1] if len(found[1]) == 6 else "".join(one * 2 for one in found[1])
        red, green, blue = (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
        return red, green, blue
    import PIL.ImageColor  # has the names of CSS

    if text.lower() in PIL.ImageColor.colormap:
        red, green, blue = (level / 255 for level in PIL.ImageColor.getrgb(text)[:3])
        return red, green, blue
    raise InputError(
        f"{text[:40]!r} is no colour", "write `#rrggbb`, or a name such as `black` or `grey`", "unknown-colour"
    )


def check_colour(input: str, inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """Whether an input is a colour; for `functools.partial` as the check of a node type."""
    text = inputs.get(input)
    if isinstance(text, str):
        try:
            parsed_colour(text)
        except InputError as fault:
            yield NodeProblem.of(fault, input)
