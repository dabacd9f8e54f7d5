"""Graphs to look at: a tree of text for a terminal, and pictures (SVG, PNG) of boxes and links."""

from __future__ import annotations

from pathlib import PurePath

from weft.engine.draw.layout import Places, place
from weft.engine.draw.sketch import Sketch, sketch
from weft.engine.draw.tree import to_text
from weft.engine.errors import InputError

__all__ = ["Sketch", "sketch", "to_picture", "to_text"]

MOST_BOXES = 2000
"""A picture of more boxes than this is none that anybody reads."""
