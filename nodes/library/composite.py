"""One picture over another: CompositeImages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from weft.engine import NodeProblem, Range, Upstream, node
from weft.nodes.pictures.blending import BlendMode, composited
from weft.nodes.pictures.planes import batch_of
from weft.nodes.sampling.size_checks import go_together, sizes_match
from weft.nodes.sizes import SizeTraits, same_size, size_of
from weft.nodes.value_checks import check_mask_size
from weft.nodes.values import Image, Mask

if TYPE_CHECKING:
    from torch import Tensor

Place = Annotated[int, Range(-(2**20), 2**20)]


def _fits(node: Upstream) -> Iterator[NodeProblem]:
    """The mask must be of the size of the picture that is put over the other one."""
    yield from sizes_match(node, "mask", "above")
    yield from go_together(node, "below", "above", "mask")


@node(
    category="image", lane="cpu", fits=_fits, traits=(SizeTraits(same_size, of="below", batch_of=("below", "above")),)
)
def CompositeImages(
    below: Image,
    above: Image,
    mask: Mask | None = None,
    *,
    left: Place = 0,
    top: Place = 0,
    mode: BlendMode = "normal",
    opacity: Annotated[float, Range(0.0, 1.0)] = 1.0,
) -> Image:
    """Put a picture over another one, by a mask and at a place; outside of it every pixel stays exactly as it was.

    Modes and transparency follow W3C Compositing and Blending. What reaches over the edge is cut off.

    Args:
        below: the picture that the result has the size of.
        above: the picture that is put over it; its transparency counts.
        mask: of the size of `above`: 1 shows `above`, 0 shows `below`; null shows all of it.
        left: where the left edge of `above` lies, in pixels from the left edge of `below`.
        top: where the top edge of `above` lies, in pixels from the top edge of `below`.
        mode: how colours mix. `normal` replaces them; `multiply` and `colour burn` darken; `screen`, `add` and
            `colour dodge` lighten; `overlay` and `soft light` raise contrast; `difference` shows what differs.
        opacity: how much of `above` shows: 0.5 is half of both pictures.
    """
    import torch

    batch = batch_of(len(below.pixels), len(above.pixels))
    coverage = torch.full((1, *above.pixels.shape[1:3], 1), opacity, dtype=torch.float32)
    if mask is not None:
        check_mask_size(mask.coverage, *size_of(above.pixels), batch)
        coverage = coverage * mask.coverage[..., None].clamp(0, 1)
    result = below.pixels.expand(batch, -1, -1, -1).clone()
    width, height = size_of(result)
    wide, high = size_of(above.pixels)
    columns, rows = (max(left, 0), min(left + wide, width)), (max(top, 0), min(top + high, height))
    if columns[0] >= columns[1] or rows[0] >= rows[1]:
        return Image(result)
    seen = slice(rows[0] - top, rows[1] - top), slice(columns[0] - left, columns[1] - left)

    def part(pixels: Tensor) -> Tensor:
        return pixels[:, seen[0], seen[1]]

    place = result[:, rows[0] : rows[1], columns[0] : columns[1]]
    place[:] = composited(place, part(above.pixels), part(coverage), mode)
    return Image(result)
