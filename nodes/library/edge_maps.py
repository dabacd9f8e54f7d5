"""Edges and drawings for ControlNets: FindCannyEdges, FindSoftEdges, DrawScribble, DrawLineArt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from weft.engine import Limits, NodeProblem, Range, node
from weft.nodes.pictures.edge_filters import canny, line_art, soft_edges, strokes
from weft.nodes.sizes import SizeTraits, same_size
from weft.nodes.values import Image

if TYPE_CHECKING:
    import numpy

    Plane = numpy.ndarray[Any, Any]

SAME = (SizeTraits(same_size, of="image"),)

Threshold = Annotated[float, Range(0.0, 2040.0)]
Radius = Annotated[float, Range(0.1, 100.0)]


def _each(image: Image, draw: Callable[[Plane], Plane]) -> Image:
    """What is drawn of the colours of each picture, in three equal channels."""
    import numpy
    import torch

    planes = [torch.from_numpy(draw(one).astype(numpy.float32)) for one in image.pixels[..., :3].numpy()]
    return Image(torch.stack(planes)[..., None].expand(-1, -1, -1, 3).contiguous())


def _check_thresholds(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The high threshold must not lie below the low one."""
    low, high = inputs.get("low"), inputs.get("high")
    if low is not None and high is not None and high < low:
        message = f"the high threshold, {high:g}, lies below the low one, {low:g}"
        yield NodeProblem("high", message, "give a larger `high`", "empty-interval")


@node(category="preprocessors", lane="cpu", check=_check_thresholds, traits=SAME)
def FindCannyEdges(image: Image, low: Threshold = 100.0, high: Threshold = 200.0) -> Image:
    """Find edges one pixel wide by Canny's method, white on black: for ControlNets of the kind canny.

    Equal to `cv2.Canny(picture, low, high)` of OpenCV (Sobel 3 x 3, L1 norm).

    Args:
        image: the pictures, read as levels of 8 bits; alpha is left out. Blur them before (BlurImage) for fewer edges.
        low: a pixel weaker than this is no edge. Levels count from 0 to 255 and gradients are four times as large, as
            in OpenCV: 50 to 100 is usual.
        high: a pixel stronger than this is an edge, and so are weaker ones that are joined to it; two to three times
            `low` is usual.
    """

    def draw(colours: Plane) -> Plane:
        return canny((colours.clip(0, 1) * 255).round(), low, high)

    return _each(image, draw)


@node(category="preprocessors", lane="cpu", traits=SAME)
def FindSoftEdges(image: Image, radius: Radius = 1.5) -> Image:
    """Find edges with soft flanks, white on black: for ControlNets of the kind softedge.

    They are the gradient of the blurred picture. ControlNets of the kind hed were trained on a network's edges, which
    follow outlines of things more closely; these are near enough for them to follow.

    Args:
        image: the pictures; alpha is left out.
        radius: of the blur, in pixels: 1 keeps texture, 4 only outlines.
    """
    return _each(image, lambda colours: soft_edges(colours, radius))


@node(category="preprocessors", lane="cpu", traits=SAME)
def DrawScribble(image: Image, threshold: Annotated[float, Range(0.0, 1.0)] = 0.06, *, radius: Radius = 1.5) -> Image:
    """Draw a picture in strokes, white on black: for ControlNets of the kind scribble.

    Strokes lie where a pixel is darker than what is around it: a difference of Gaussians (Marr and Hildreth 1980).

    Args:
        image: the pictures; alpha is left out.
        threshold: by how much it must be darker, where black to white is 1; less draws more strokes.
        radius: about the width of strokes, in pixels; 3 or more for a rough sketch.
    """
    return _each(image, lambda colours: strokes(colours, radius, threshold))


@node(category="preprocessors", lane="cpu", traits=SAME)
def DrawLineArt(image: Image, radius: Radius = 6.0) -> Image:
    """Draw the lines of a picture, white on black: for ControlNets of the kind lineart.

    A line is what is darker than its surroundings: made for drawings and comics, usable for photographs.

    Args:
        image: the pictures; alpha is left out.
        radius: of the surroundings, in pixels; smaller draws finer lines.
    """
    return _each(image, lambda colours: line_art(colours, radius))
