"""Pictures next to each other as one picture: JoinImages."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

from weft.engine import INJECTED, Context, InputError, Range, check_pixels, node
from weft.nodes.pictures.colour_names import check_colour, parsed_colour
from weft.nodes.pictures.fitting import wanted_size
from weft.nodes.pictures.resampling import Filter, resized
from weft.nodes.sizes import size_of
from weft.nodes.value_checks import empty_list
from weft.nodes.values import Image

if TYPE_CHECKING:
    from torch import Tensor

Direction = Literal["right", "down", "left", "up"]


@node(category="image", lane="cpu", check=partial(check_colour, "colour"))
def JoinImages(
    images: list[Image],
    direction: Direction = "right",
    *,
    match: bool = True,
    spacing: Annotated[int, Range(0, 4096)] = 0,
    colour: str = "white",
    filter: Filter = "lanczos",
    context: Context = INJECTED,
) -> Image:
    """Put pictures next to each other, as one picture: what models that read a single picture are shown of several.

    Args:
        images: in order; batches of one size, of which those with a single picture serve for all.
        direction: where the second picture lies, seen from the first.
        match: scale the others to the height of the first one, or in a column to its width, in their proportions; else
            they keep their sizes and lie in the middle.
        spacing: pixels between two pictures.
        colour: of what is between and around them: `#rrggbb`, or a name such as `white`.
        filter: how pixels are scaled, as in ScaleImage.
    """
    import torch

    if not images:
        raise empty_list("picture")
    across = direction in ("left", "right")
    given = [image.pixels[..., :3] for image in images]
    parts = [given[0], *(_matched(one, given[0], across, filter) if match else one for one in islice(given, 1, None))]
    count = max(map(len, parts))
    if any(len(part) not in (1, count) for part in parts):
        found = ", ".join(str(len(part)) for part in parts)
        hint = f"give one picture, or {count}, at each place"
        raise InputError(f"the batches have {found} pictures", hint, "batch-mismatch")
    along, side = (2, 1) if across else (1, 2)
    length = sum(part.shape[along] for part in parts) + spacing * (len(parts) - 1)
    breadth = max(part.shape[side] for part in parts)
    width, height = (length, breadth) if across else (breadth, length)
    check_pixels(width, height, count, context.limits)
    joined = torch.tensor(parsed_colour(colour), dtype=torch.float32).expand(count, height, width, 3).clone()
    start = 0
    for part in parts if direction in ("right", "down") else reversed(parts):
        offset = (breadth - part.shape[side]) // 2
        place = joined.narrow(along, start, part.shape[along]).narrow(side, offset, part.shape[side])
        place.copy_(part.expand(count, -1, -1, -1))
        start += part.shape[along] + spacing
    return Image(joined)


def _matched(pixels: Tensor, first: Tensor, across: bool, filter: Filter) -> Tensor:
    """Pictures as high as the first one, or in a column as wide."""
    width, height = (0, first.shape[1]) if across else (first.shape[2], 0)
    return resized(pixels, wanted_size(size_of(pixels), width, height), filter)
