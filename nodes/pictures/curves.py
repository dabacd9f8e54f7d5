"""A curve as the pixels of a picture. Importing this module imports no Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.engine.show.plots import PlotAxis, PlotLine, PlotMark, plot

if TYPE_CHECKING:
    from torch import Tensor


def curve(
    points: Sequence[tuple[float, float]],
    across: PlotAxis,
    up: PlotAxis,
    marked: bool = False,
    marks: Sequence[PlotMark] = (),
) -> Tensor:
    """A curve through points, drawn over two axes: `[1, height, width, 3]` in 0..1.

    Args:
        marked: whether each point has a dot.
        marks: points with names.
    """
    import numpy
    import torch

    picture = plot([PlotLine(points)], across, up, marked, marks)
    return torch.from_numpy(numpy.asarray(picture).astype("float32") / 255)[None]
