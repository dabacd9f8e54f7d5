"""An example of a node library: what nodes/AUTHORING.md describes, as a package that a test builds, installs and runs.

`palettes` has a value type of its own, a file as an input, checks and lazy inputs; `matrices` has weights; `guides` has
a guide. The entry point names this module: every node type that it exports is in the catalogue.
"""

from __future__ import annotations

from .guides import GuidanceInterval
from .matrices import ApplyColourMatrix, ColourMatrix, LoadColourMatrix
from .palettes import BlendPalettes, ColourCount, LoadPalette, MapToPalette, Palette

__all__ = [
    "ApplyColourMatrix",
    "BlendPalettes",
    "ColourCount",
    "ColourMatrix",
    "GuidanceInterval",
    "LoadColourMatrix",
    "LoadPalette",
    "MapToPalette",
    "Palette",
]
