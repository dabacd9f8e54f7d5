"""What the header of a file of tensors says, in whichever format, and the limits of what is read. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Shapes = Mapping[str, tuple[int, ...]]

LONGEST_HEADER = 2**25
"""Bytes of the text. Those of published files have some megabytes; longer ones would take seconds to read."""

MOST_TENSORS = 100_000
MOST_AXES = 8
LONGEST_NAME = 1000
"""Characters of the name of a tensor."""

LARGEST_SIZE = 2**50
"""The most elements of a tensor, and bytes of a file."""


@dataclass(frozen=True)
class Header:
    """What the header of a file says.

    Args:
        shapes: of each tensor, by name.
        dtypes: the type of each tensor's numbers as the format spells it (`BF16`, `F8_E4M3`), by name.
        metadata: texts that whoever wrote the file put into it, by name.
        offsets: where each tensor begins in the file, by name.
        gguf: whether the file is one of GGUF.
    """

    shapes: Shapes
    dtypes: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    offsets: Mapping[str, int] = field(default_factory=dict)
    gguf: bool = False
