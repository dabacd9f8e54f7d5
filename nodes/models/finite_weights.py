"""Weights whose numbers are not all finite, which headers do not tell: they are named when a file is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from weft.engine import InputError, listed

if TYPE_CHECKING:
    from torch import Tensor

MOST_NAMES = 5
"""How many tensors a message names."""


def check_finite(tensors: Iterable[tuple[str, Tensor]], source: str) -> None:
    """Raise `InputError` where numbers of some tensors, given with their names, are infinite or none at all.

    Args:
        source: the name of their file or folder.
    """
    spoilt = [name for name, one in tensors if one.is_floating_point() and not _is_finite(one)]
    if spoilt:
        raise InputError(
            f"{len(spoilt)} tensors of `{source}` are not finite: {listed(spoilt[:MOST_NAMES])}",
            "get the file again; a training that ended so has failed",
            "damaged-file",
        )


def _is_finite(tensor: Tensor) -> bool:
    wide = tensor.float() if tensor.element_size() == 1 else tensor  # torch does not ask that of all 8-bit floats
    return bool(wide.isfinite().all())
