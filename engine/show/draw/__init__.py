"""Graphs to look at: a tree of text for a terminal, and pictures (SVG, PNG) of boxes and links.

`sketch` takes a graph apart into boxes and wires; `tree` writes them as text; `placement` places them (with `layers`),
`shapes` colours them, `svg` and `png` write the picture.
"""

from __future__ import annotations

from pathlib import PurePath

from weft.engine.errors import InputError
from weft.engine.show.draw.placement import place
from weft.engine.show.draw.raster import to_png
from weft.engine.show.draw.sketch import Sketch, sketch
from weft.engine.show.draw.svg import to_svg
from weft.engine.show.draw.tree import to_text

__all__ = ["Sketch", "sketch", "to_picture", "to_text"]

MOST_BOXES = 2000
"""A picture of more boxes than this is one that nobody reads."""

WRITERS = {".svg": to_svg, ".png": to_png}
"""What writes a picture, by the ending of its file."""


def to_picture(sketched: Sketch, name: str) -> bytes:
    """The picture of a graph, as the ending of a file's name wants it.

    Raises:
        InputError: for another ending than .svg and .png, or more boxes than a picture shows.
    """
    write = WRITERS.get(PurePath(name).suffix.lower())
    if write is None:
        raise InputError(
            f"`{name}` has an ending that is no picture's",
            f"end it in {' or '.join(WRITERS)}",
            "unknown-picture-format",
        )
    if len(sketched.boxes) > MOST_BOXES:
        found = f"{len(sketched.boxes):,} nodes are too many for a picture, which shows {MOST_BOXES:,}"
        raise InputError(found, "print the tree: leave --out away", "too-many-nodes")
    return write(place(sketched))
