"""Pictures and masks in another size: ScaleImage, ScaleImageBy, ScaleImageToPixels; and ImageSize."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from weft.engine import INJECTED, Context, InputError, Limits, NodeProblem, Range, Upstream, check_pixels, node
from weft.nodes.pictures.colour_names import check_colour, parsed_colour
from weft.nodes.pictures.fitting import Anchor, Fit, filled, fitted_size, of_pixels, scaled_size, shares
from weft.nodes.pictures.padding import padded
from weft.nodes.pictures.planes import as_given, pixels_of
from weft.nodes.pictures.resampling import Filter, resized
from weft.nodes.sizes import Size, SizeTraits, literals_of, size_of
from weft.nodes.values import P

if TYPE_CHECKING:
    from torch import Tensor

Multiple = Annotated[int, Range(1, 1024)]
"""What the sides of a result are multiples of."""


def _check_scale(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """A size must be asked for, within the limits, and the background must be a colour."""
    width, height = inputs.get("width"), inputs.get("height")
    if width == 0 and height == 0:
        yield NodeProblem("width", "width and height are both 0", "give one of them, or both", "missing-input")
    try:
        check_pixels(width or 1, height or 1, 1, limits)
    except InputError as fault:
        yield NodeProblem.of(fault, "width")
    yield from check_colour("background", inputs, limits)


def _scaled(node: Upstream, source: Size | None) -> Size | None:
    given = literals_of(node, "fit", "width", "height", "multiple")
    if given is None or (source is None and (given[0] == "inside" or 0 in given[1:3])):
        return None
    return fitted_size(source or Size(1, 1), *given)


@node(category="image", lane="cpu", check=_check_scale, traits=(SizeTraits(_scaled, of="image"),))
def ScaleImage(
    image: P,
    width: Annotated[int, Range(0, 2**20)] = 512,
    height: Annotated[int, Range(0, 2**20)] = 512,
    *,
    fit: Fit = "stretch",
    filter: Filter = "lanczos",
    multiple: Multiple = 1,
    anchor: Anchor = "centre",
    background: str = "#000000",
    context: Context = INJECTED,
) -> P:
    """Scale pictures or masks to a width and a height.

    Levels stay floating-point numbers. Colours are weighted by alpha. Where a picture is reduced, filters take all
    pixels into account, by whatever factor. A picture that has the size already is given back as it is.

    Args:
        image: the pictures, or the masks.
        width: in pixels; 0 takes it from the height and the picture's proportions.
        height: in pixels; 0 takes it from the width and the picture's proportions.
        fit: what happens to other proportions. `stretch` changes them; `inside` keeps the whole picture, which is then
            smaller along one side; `fill` keeps them and cuts off what is too much; `pad` keeps the whole picture and
            adds background.
        filter: `lanczos` is the sharpest and best for photographs; `bicubic` and `bilinear` are softer; `box` averages
            whole blocks; `nearest` takes single pixels, for pixel art and masks with hard edges. `bilinear_aliased` and
            `bicubic_aliased` see 4 and 16 pixels however much is reduced, as ComfyUI's `bilinear` and `bicubic` do.
        multiple: both sides become multiples of this; 8 suits every VAE, 16 every model, 64 old models best.
        anchor: which part is kept by `fill`, and where the picture lies in `pad`.
        background: of `pad`: a colour such as `#808080` or `white`; transparent where the picture has alpha, and 0 in
            masks.
    """
    pixels = pixels_of(image)
    source = size_of(pixels)
    size = fitted_size(source, fit, width, height, multiple)
    _check_made(size, pixels, context)
    if fit == "fill":
        return as_given(image, resized(pixels, size, filter, filled(source, size, anchor)))
    if fit != "pad":
        return as_given(image, resized(pixels, size, filter))
    inner = fitted_size(source, "inside", *size, 1)
    across, down = (round(share * over) for share, over in zip(shares(anchor), _left_over(size, inner), strict=True))
    right, bottom = size.width - inner.width - across, size.height - inner.height - down
    return as_given(
        image, padded(resized(pixels, inner, filter), (across, down, right, bottom), parsed_colour(background))
    )


def _left_over(size: Size, inner: Size) -> tuple[int, int]:
    return size.width - inner.width, size.height - inner.height


def _check_made(size: Size, pixels: Tensor, context: Context) -> None:
    """Raise `InputError` where so many pixels would be more than the limit."""
    check_pixels(*size, len(pixels), context.limits)


def _scaled_by(node: Upstream, source: Size | None) -> Size | None:
    given = literals_of(node, "factor", "multiple")
    return scaled_size(source, *given) if source and given else None


@node(category="image", lane="cpu", traits=(SizeTraits(_scaled_by, of="image"),))
def ScaleImageBy(
    image: P,
    factor: Annotated[float, Range(0.001, 64.0)] = 2.0,
    *,
    filter: Filter = "lanczos",
    multiple: Multiple = 1,
    context: Context = INJECTED,
) -> P:
    """Scale pictures or masks by a factor, in their proportions.

    Args:
        image: the pictures, or the masks.
        factor: 0.5 halves both sides.
        filter: as in ScaleImage: `lanczos` for photographs, `nearest` for pixel art and hard masks.
        multiple: both sides are rounded to multiples of this.
    """
    pixels = pixels_of(image)
    size = scaled_size(size_of(pixels), factor, multiple)
    _check_made(size, pixels, context)
    return as_given(image, resized(pixels, size, filter))


MEGAPIXEL = 1024 * 1024
"""Pixels of a megapixel, as makers of diffusion models count them."""


def _scaled_to_pixels(node: Upstream, source: Size | None) -> Size | None:
    given = literals_of(node, "megapixels", "multiple")
    return of_pixels(source, given[0] * MEGAPIXEL, given[1]) if source and given else None


@node(category="image", lane="cpu", traits=(SizeTraits(_scaled_to_pixels, of="image"),))
def ScaleImageToPixels(
    image: P,
    megapixels: Annotated[float, Range(0.001, 256.0)] = 1.0,
    *,
    filter: Filter = "lanczos",
    multiple: Multiple = 8,
    context: Context = INJECTED,
) -> P:
    """Scale pictures or masks to about so many pixels, in their proportions.

    Args:
        image: the pictures, or the masks.
        megapixels: 1 is 1024 x 1024 pixels, what SDXL, SD 3 and FLUX are made for; 0.25 is 512 x 512, for SD 1.
        filter: as in ScaleImage.
        multiple: both sides are rounded to multiples of this; 8 suits every VAE, 16 every model.
    """
    pixels = pixels_of(image)
    size = of_pixels(size_of(pixels), megapixels * MEGAPIXEL, multiple)
    _check_made(size, pixels, context)
    return as_given(image, resized(pixels, size, filter))


class ImageExtent(NamedTuple):
    """Width and height of pictures in pixels, and how many they are."""

    width: int
    height: int
    batch_size: int


@node(category="image", lane="cpu")
def ImageSize(image: P) -> ImageExtent:
    """The size of pictures or masks, for the inputs of other nodes.

    Args:
        image: the pictures, or the masks.
    """
    pixels = pixels_of(image)
    return ImageExtent(*size_of(pixels), len(pixels))
