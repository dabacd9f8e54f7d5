"""The shape of pictures and masks: CropImage, CropToAspect, PadImage, RotateImage, FlipImage."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Literal, NamedTuple

from weft.engine import INJECTED, Context, InputError, NodeProblem, Range, Upstream, check_pixels, node
from weft.nodes.library.scale import Multiple
from weft.nodes.pictures.colour_names import check_colour, parsed_colour
from weft.nodes.pictures.fitting import Anchor, Crop, cropped, rotated_size, with_aspect
from weft.nodes.pictures.padding import Fill, added, padded
from weft.nodes.pictures.planes import as_given, pixels_of
from weft.nodes.pictures.resampling import RotationFilter, turned
from weft.nodes.sizes import Size, SizeTraits, literals_of, same_size, size_above, size_of
from weft.nodes.values import Image, Mask, P

Side = Annotated[int, Range(0, 2**20)]


class Padded(NamedTuple):
    """A picture with more around it, and the mask of what was added."""

    image: Image
    mask: Mask


def _check_inside(crop: Crop, source: Size) -> None:
    """Raise `InputError` where a part is empty or not within the picture."""
    left, top, width, height = crop
    if width < 1 or height < 1:
        raise InputError(
            f"nothing is left of a picture of {source}", "keep at least a pixel, or a whole multiple", "out-of-range"
        )
    if left + width > source.width or top + height > source.height or left < 0 or top < 0:
        raise InputError(
            f"{width} x {height} pixels from {left}, {top} on do not lie within a picture of {source}",
            "keep less, or add to it with PadImage before",
            "out-of-range",
        )


def _crop(node: Upstream, source: Size | None) -> Crop | None:
    """The part that a CropImage keeps; None where it is not known before a run."""
    given = literals_of(node, "width", "height", "left", "top", "multiple")
    return cropped(source, *given) if source and given else None


def _crop_size(node: Upstream, source: Size | None) -> Size | None:
    crop = _crop(node, source)
    return crop.size if crop else None


def _crop_fits(node: Upstream) -> Iterator[NodeProblem]:
    """The part that is kept must lie within the picture."""
    source = size_above(node, "image")
    crop = _crop(node, source)
    if source and crop:
        try:
            _check_inside(crop, source)
        except InputError as fault:
            yield NodeProblem.of(fault, "width" if crop.left >= 0 and crop.width > source.width else "image")


def _cut(image: P, crop: Crop) -> P:
    pixels = pixels_of(image)
    _check_inside(crop, size_of(pixels))
    kept = pixels[:, crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    return as_given(image, kept)


@node(category="image", lane="cpu", fits=_crop_fits, traits=(SizeTraits(_crop_size, of="image"),))
def CropImage(
    image: P,
    width: Side = 0,
    height: Side = 0,
    *,
    left: Annotated[int, Range(0, 2**20)] | None = None,
    top: Annotated[int, Range(0, 2**20)] | None = None,
    multiple: Multiple = 1,
) -> P:
    """Keep a part of pictures or masks: a box, the middle, or as much as has sides of a multiple.

    Args:
        image: the pictures, or the masks.
        width: in pixels; 0 keeps all, to the right of `left`.
        height: in pixels; 0 keeps all, below `top`.
        left: pixels that are cut off on the left; null takes the middle.
        top: pixels that are cut off at the top; null takes the middle.
        multiple: both sides are rounded down to multiples of this; with 8 and no size, as much is kept as a VAE can
            encode.
    """
    return _cut(image, cropped(size_of(pixels_of(image)), width, height, left, top, multiple))


def _aspect_size(node: Upstream, source: Size | None) -> Size | None:
    given = literals_of(node, "across", "down", "anchor", "multiple")
    return with_aspect(source, *given).size if source and given else None


@node(category="image", lane="cpu", traits=(SizeTraits(_aspect_size, of="image"),))
def CropToAspect(
    image: P,
    across: Annotated[int, Range(1, 10_000)] = 1,
    down: Annotated[int, Range(1, 10_000)] = 1,
    *,
    anchor: Anchor = "centre",
    multiple: Multiple = 1,
) -> P:
    """Keep as much of pictures or masks as has other proportions.

    Args:
        image: the pictures, or the masks.
        across: of the proportions: 16 in 16:9.
        down: of the proportions: 9 in 16:9.
        anchor: which part is kept.
        multiple: both sides are rounded down to multiples of this.
    """
    return _cut(image, with_aspect(size_of(pixels_of(image)), across, down, anchor, multiple))


def _more(source: Size, left: int, top: int, right: int, bottom: int, multiple: int) -> tuple[int, int, int, int]:
    """What is added on each side, with what makes the sides multiples on the right and at the bottom."""
    width, height = source.width + left + right, source.height + top + bottom
    return left, top, right + -width % multiple, bottom + -height % multiple


def _padded_size(node: Upstream, source: Size | None) -> Size | None:
    given = literals_of(node, "left", "top", "right", "bottom", "multiple")
    if source is None or given is None:
        return None
    left, top, right, bottom = _more(source, *given)
    return Size(source.width + left + right, source.height + top + bottom)


@node(
    category="image",
    lane="cpu",
    check=partial(check_colour, "colour"),
    traits=(SizeTraits(_padded_size, of="image"),),
)
def PadImage(
    image: Image,
    left: Side = 0,
    top: Side = 0,
    right: Side = 0,
    bottom: Side = 0,
    *,
    fill: Fill = "edge",
    colour: str = "#808080",
    multiple: Multiple = 1,
    feather: Annotated[int, Range(0, 4096)] = 0,
    context: Context = INJECTED,
) -> Padded:
    """Add pixels around pictures, with a mask of what was added: what outpainting begins with.

    Args:
        image: the pictures.
        left: pixels to add on the left.
        top: pixels to add at the top.
        right: pixels to add on the right.
        bottom: pixels to add at the bottom.
        fill: `edge` repeats the outermost pixels, `reflect` mirrors the picture, `colour` adds a colour, transparent
            where the picture has alpha.
        colour: of `colour`, such as `#808080` or `white`.
        multiple: more is added on the right and at the bottom until both sides are multiples of this.
        feather: over so many pixels into the picture the mask falls from 1 to 0, so that what is painted goes over into
            it; 0 is a hard edge. 16 to 64 hides seams.
    """
    pixels = image.pixels
    source = size_of(pixels)
    sides = _more(source, left, top, right, bottom, multiple)
    size = Size(source.width + sides[0] + sides[2], source.height + sides[1] + sides[3])
    check_pixels(*size, len(pixels), context.limits)
    mask = added(source.height, source.width, sides, feather)
    return Padded(Image(padded(pixels, sides, parsed_colour(colour), fill)), Mask(mask[None]))


def _rotated_size(node: Upstream, source: Size | None) -> Size | None:
    given = literals_of(node, "angle", "expand")
    if source is None or given is None:
        return None
    return rotated_size(source, given[0]) if given[1] else source


@node(
    category="image",
    lane="cpu",
    check=partial(check_colour, "background"),
    traits=(SizeTraits(_rotated_size, of="image"),),
)
def RotateImage(
    image: P,
    angle: Annotated[float, Range(-360.0, 360.0)] = 90.0,
    *,
    expand: bool = True,
    filter: RotationFilter = "bicubic",
    background: str = "#000000",
    context: Context = INJECTED,
) -> P:
    """Rotate pictures or masks about their middle; by quarters every pixel stays as it is.

    Args:
        image: the pictures, or the masks.
        angle: in degrees to the left (counterclockwise); -90 turns a picture to the right.
        expand: make the result as large as the rotated picture; else it keeps its size and corners are cut off.
        filter: for angles other than quarters; `bicubic` is the sharpest.
        background: the colour where nothing was; transparent where the picture has alpha, and 0 in masks.
    """
    pixels = pixels_of(image)
    if expand:
        check_pixels(*rotated_size(size_of(pixels), angle), len(pixels), context.limits)
    return as_given(image, turned(pixels, angle, filter, expand, parsed_colour(background)))


@node(category="image", lane="cpu", traits=(SizeTraits(same_size, of="image"),))
def FlipImage(image: P, direction: Literal["horizontal", "vertical"] = "horizontal") -> P:
    """Mirror pictures or masks.

    Args:
        image: the pictures, or the masks.
        direction: `horizontal` exchanges left and right, `vertical` top and bottom.
    """
    return as_given(image, pixels_of(image).flip(2 if direction == "horizontal" else 1))
