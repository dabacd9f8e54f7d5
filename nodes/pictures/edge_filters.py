"""Edges of pictures by filters: what ControlNets for edges, sketches and line art are given.

Brightness in, `[height, width]` as numpy arrays in 0..1, since these are scipy's filters; edges out in 0..1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

    Plane = numpy.ndarray[Any, Any]


def canny(colours: Plane, low: float, high: float) -> Plane:
    """Edges one pixel wide (Canny 1986, A Computational Approach to Edge Detection), as OpenCV computes them.

    Gradients are those of Sobel's 3 x 3 filter of levels of 0..255, in the channel where they are strongest; their
    strength is |dx| + |dy|. A pixel is a candidate where it is stronger than `low` and than its neighbours along the
    gradient, rounded to 45 degrees. Candidates above `high`, and those that touch them through others, are edges.

    Args:
        colours: `[height, width, 3]` in 0..255, whole numbers.
    """
    import numpy
    from scipy import ndimage

    levels = colours.astype(numpy.int32)
    smooth_down, smooth_across = (ndimage.correlate1d(levels, (1, 2, 1), axis, mode="nearest") for axis in (0, 1))
    across = ndimage.correlate1d(smooth_down, (-1, 0, 1), 1, mode="nearest")
    down = ndimage.correlate1d(smooth_across, (-1, 0, 1), 0, mode="nearest")
    strongest = (abs(across) + abs(down)).argmax(-1)[..., None]
    dx = numpy.take_along_axis(across, strongest, -1)[..., 0]
    dy = numpy.take_along_axis(down, strongest, -1)[..., 0]
    strength = abs(dx) + abs(dy)
    candidates = (strength > low) & _peaks(dx, dy, strength)
    regions, _ = ndimage.label(candidates, numpy.ones((3, 3)))
    kept = numpy.unique(regions[candidates & (strength > high)])
    return numpy.isin(regions, kept[kept > 0])


TANGENT = 13573
"""The tangent of 22.5 degrees times 2^15, as OpenCV rounds it."""


def _peaks(dx: Plane, dy: Plane, strength: Plane) -> Plane:
    """Where the strength of a gradient is largest along its direction; of two equal neighbours the first counts."""
    import numpy

    padded = numpy.pad(strength, 1)

    def shifted(x: int, y: int) -> Plane:
        height, width = strength.shape
        return padded[1 + y : 1 + y + height, 1 + x : 1 + x + width]

    slope, y = abs(dx) * TANGENT, abs(dy) * 2**15
    flat, steep = y < slope, y > slope + abs(dx) * 2**16
    rising = (dx < 0) != (dy < 0)
    along = numpy.where(rising, shifted(1, -1), shifted(-1, -1)), numpy.where(rising, shifted(-1, 1), shifted(1, 1))
    diagonal = (strength > along[0]) & (strength > along[1])
    level = (strength > shifted(-1, 0)) & (strength >= shifted(1, 0))
    upright = (strength > shifted(0, -1)) & (strength >= shifted(0, 1))
    return numpy.where(flat, level, numpy.where(steep, upright, diagonal))


def soft_edges(colours: Plane, radius: float) -> Plane:
    """The gradient of a blurred picture (Gaussian derivatives), in the channel where it is strongest, up to 1.

    It is scaled so that the strongest edge in a hundred pixels is white.
    """
    import numpy
    from scipy import ndimage

    across, down = (ndimage.gaussian_filter(colours, (radius, radius, 0), order, mode="nearest") for order in _ORDERS)
    strength: Plane = numpy.hypot(across, down).max(-1)
    white = max(float(numpy.quantile(strength, 0.99)), 1e-3)
    return numpy.clip(strength / white, 0, 1)


_ORDERS = ((0, 1, 0), (1, 0, 0))


def strokes(colours: Plane, radius: float, threshold: float) -> Plane:
    """Strokes where a pixel is darker than what is around it, in any channel: a thresholded difference of Gaussians.

    Marr and Hildreth 1980, Theory of Edge Detection, with standard deviations of a third and of three times the radius.
    """
    fine, coarse = (_gaussian(colours, one) for one in (radius / 3, 3 * radius))
    made: Plane = (coarse - fine).max(-1) > threshold
    return made


def _gaussian(colours: Plane, radius: float) -> Plane:
    from scipy import ndimage

    made: Plane = ndimage.gaussian_filter(colours, (radius, radius, 0), mode="nearest")
    return made


def line_art(colours: Plane, radius: float) -> Plane:
    """Lines white on black: how much darker a pixel is than what is around it, in the channel where it is most so.

    Divided by twice the median of what is visible, so that faint and strong drawings come out alike.
    """
    import numpy

    darker = numpy.clip((_gaussian(colours, radius) - colours).max(-1), 0, 1)
    visible = darker[darker > 8 / 255]
    middle = max(float(numpy.median(visible)) if visible.size else 0.0, 16 / 255)
    lines: Plane = numpy.clip(darker / (2 * middle), 0, 1)
    return lines
