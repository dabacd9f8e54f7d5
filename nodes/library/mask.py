"""Masks: ColourMask, ShapeMask, GrowMask, FeatherMask, CombineMasks, MaskToImage, SetAlpha."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from weft.engine import INJECTED, Context, InputError, Limits, NodeProblem, Range, Upstream, check_pixels, node
from weft.nodes.pictures.colour_names import check_colour, parsed_colour
from weft.nodes.pictures.colours import srgb_to_lab
from weft.nodes.pictures.drawn_masks import MaskShape, shaped
from weft.nodes.pictures.planes import batch_of
from weft.nodes.pictures.smoothing import Shape, blurred, grown
from weft.nodes.sampling.size_checks import go_together, sizes_match
from weft.nodes.sizes import SizeTraits, literal_size, same_size, size_of
from weft.nodes.value_checks import check_mask_size
from weft.nodes.values import Image, Mask

if TYPE_CHECKING:
    from torch import Tensor

OF_IMAGE = (SizeTraits(same_size, of="image"),)
OF_MASK = (SizeTraits(same_size, of="mask"),)

Share = Annotated[float, Range(-1.0, 2.0)]
"""A place in shares of a picture's width or height, from its left or top edge."""


@node(category="mask", lane="cpu", check=partial(check_colour, "colour"), traits=OF_IMAGE)
def ColourMask(
    image: Image,
    colour: str = "#00ff00",
    *,
    tolerance: Annotated[float, Range(0.0, 200.0)] = 20.0,
    softness: Annotated[float, Range(0.0, 200.0)] = 0.0,
) -> Mask:
    """Make a mask of a colour: 1 where a picture has it, 0 elsewhere.

    Args:
        image: the pictures; alpha is left out.
        colour: such as `#00ff00` or `white`.
        tolerance: how far a colour may lie from it, in units of CIE L*a*b*: 2 is hardly seen, 20 takes shades of it, 50
            its relatives.
        softness: over how many more units the mask falls to 0.
    """
    import torch

    wanted = srgb_to_lab(torch.tensor(parsed_colour(colour), dtype=torch.float32))
    distance = (srgb_to_lab(image.pixels[..., :3]) - wanted).norm(dim=-1)
    if softness == 0:
        return Mask((distance <= tolerance).float())
    return Mask((1 - (distance - tolerance) / softness).clamp(0, 1))


def _check_shape(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The size must be within the limits."""
    try:
        check_pixels(inputs.get("width", 1), inputs.get("height", 1), 1, limits)
    except InputError as fault:
        yield NodeProblem.of(fault, "width")


@node(category="mask", lane="cpu", check=_check_shape, traits=(SizeTraits(literal_size),))
def ShapeMask(
    width: Annotated[int, Range(1, 2**20)] = 512,
    height: Annotated[int, Range(1, 2**20)] = 512,
    shape: MaskShape = "rectangle",
    *,
    left: Share = 0.25,
    top: Share = 0.25,
    right: Share = 0.75,
    bottom: Share = 0.75,
    feather: Annotated[float, Range(0.0, 4096.0)] = 0.0,
    context: Context = INJECTED,
) -> Mask:
    """Draw a mask: a rectangle, an ellipse, or a gradient.

    Args:
        width: of the mask, in pixels.
        height: of the mask, in pixels.
        shape: `rectangle` and `ellipse` are 1 within the box and 0 around it; `gradient right`, `left`, `down` and `up`
            rise from 0 at one side of the box to 1 at the other, and go on with these.
        left: of the box, in shares of the width: 0.25 is a quarter from the left edge.
        top: of the box, in shares of the height.
        right: of the box, in shares of the width from the left edge.
        bottom: of the box, in shares of the height from the top edge.
        feather: by how many pixels its edge is blurred.
    """
    check_pixels(width, height, 1, context.limits)
    made = shaped(width, height, shape, (left, top, right, bottom))[None]
    return Mask(blurred(made[..., None], feather)[..., 0])


@node(category="mask", lane="cpu", traits=OF_MASK)
def GrowMask(
    mask: Mask,
    pixels: Annotated[int, Range(-4096, 4096)] = 8,
    *,
    feather: Annotated[float, Range(0.0, 4096.0)] = 0.0,
    shape: Shape = "round",
) -> Mask:
    """Grow or shrink masks, and feather their edges.

    Args:
        mask: the masks.
        pixels: by how many they grow on each side; below 0 they shrink.
        feather: by how many pixels edges are blurred after that (the standard deviation); grow by twice as much to keep
            everything covered that was.
        shape: of corners: `round`, or `square`.
    """
    coverage = grown(mask.coverage.clamp(0, 1), pixels, shape)
    return Mask(blurred(coverage[..., None], feather)[..., 0].contiguous())


Side = Annotated[int, Range(0, 2**20)]


@node(category="mask", lane="cpu", traits=OF_MASK)
def FeatherMask(mask: Mask, *, left: Side = 0, top: Side = 0, right: Side = 0, bottom: Side = 0) -> Mask:
    """Let masks fade out towards their sides, in a line: for pictures that are to blend into others.

    Args:
        mask: the masks.
        left: over how many pixels from the left edge; the outermost keeps 1 / left. 0 leaves the side as it is.
        top: the same from the top edge.
        right: the same from the right edge.
        bottom: the same from the bottom edge.
    """
    height, width = mask.coverage.shape[1:]
    across, down = _faded(width, left, right), _faded(height, top, bottom)
    return Mask(mask.coverage * across * down[:, None])


def _faded(length: int, start: int, end: int) -> Tensor:
    """A factor for each pixel of a side, which rises from the start and falls to the end."""
    import torch

    places = torch.arange(1, length + 1, dtype=torch.float32)
    rising, falling = ((one / max(min(over, length), 1)).clamp(max=1) for one, over in _ends(places, start, end))
    return rising * falling


def _ends(places: Tensor, start: int, end: int) -> Iterator[tuple[Tensor, int]]:
    yield places, start
    yield places.flip(0), end


def _masks_fit(node: Upstream) -> Iterator[NodeProblem]:
    """Masks that are combined must be of one size."""
    yield from sizes_match(node, "other", "mask")
    yield from go_together(node, "mask", "other")


@node(
    category="mask", lane="cpu", fits=_masks_fit, traits=(SizeTraits(same_size, of="mask", batch_of=("mask", "other")),)
)
def CombineMasks(
    mask: Mask,
    other: Mask,
    mode: Literal["union", "intersection", "difference", "exclusion", "product", "average"] = "union",
) -> Mask:
    """Combine two masks of one size.

    Args:
        mask: the masks.
        other: the masks that they are combined with: one for all, or one for each.
        mode: `union` covers what either covers, `intersection` what both do, `difference` what `mask` covers and
            `other` does not, `exclusion` what one of them covers alone; `product` multiplies, `average` takes the mean.
    """
    import torch

    batch = batch_of(len(mask.coverage), len(other.coverage))
    check_mask_size(other.coverage, *size_of(mask.coverage), batch)
    one, two = mask.coverage.clamp(0, 1), other.coverage.clamp(0, 1)
    match mode:
        case "union":
            made = torch.maximum(one, two)
        case "intersection":
            made = torch.minimum(one, two)
        case "difference":
            made = torch.minimum(one, 1 - two)
        case "exclusion":
            made = torch.maximum(torch.minimum(one, 1 - two), torch.minimum(two, 1 - one))
        case "product":
            made = one * two
        case "average":
            made = (one + two) / 2
    return Mask(made)


@node(category="mask", lane="cpu", traits=OF_MASK)
def MaskToImage(mask: Mask) -> Image:
    """Show masks as pictures: white where they are 1.

    Args:
        mask: the masks.
    """
    return Image(mask.coverage.clamp(0, 1)[..., None].expand(-1, -1, -1, 3).contiguous())


def _alpha_fits(node: Upstream) -> Iterator[NodeProblem]:
    """The mask must be of the picture's size."""
    yield from sizes_match(node, "mask", "image")
    yield from go_together(node, "image", "mask")


@node(
    category="mask",
    lane="cpu",
    fits=_alpha_fits,
    traits=(SizeTraits(same_size, of="image", batch_of=("image", "mask")),),
)
def SetAlpha(image: Image, mask: Mask) -> Image:
    """Make pictures transparent where a mask is 0, for PNG and WebP files.

    Args:
        image: the pictures; alpha that they have is replaced.
        mask: of the pictures' size: one for all, or one for each; 1 is opaque.
    """
    import torch

    batch = len(image.pixels)
    check_mask_size(mask.coverage, *size_of(image.pixels), batch)
    alpha = mask.coverage.clamp(0, 1)[..., None].expand(batch, -1, -1, -1)
    return Image(torch.cat([image.pixels[..., :3], alpha], dim=-1))
