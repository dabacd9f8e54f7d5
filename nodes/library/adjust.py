"""The look of pictures: BlurImage, SharpenImage, AdjustColours, SetLevels, MatchColours, InvertImage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from weft.engine import ADDED_LATER, Limits, NodeProblem, Range, node
from weft.nodes.pictures.colours import Matching, adjusted, hue_rotated, levelled, matched
from weft.nodes.pictures.planes import as_given, batch_of, pixels_of
from weft.nodes.pictures.smoothing import Blur, blurred, sharpened
from weft.nodes.sizes import SizeTraits, same_size
from weft.nodes.values import Image, P

if TYPE_CHECKING:
    from torch import Tensor

SAME = (SizeTraits(same_size, of="image"),)
"""The traits of a node whose pictures have the size of those that it takes."""

Factor = Annotated[float, Range(0.0, 10.0)]
Level = Annotated[float, Range(0.0, 1.0)]
Reach = Annotated[int | None, Range(1, 1000)]


@node(category="image", lane="cpu", traits=SAME)
def BlurImage(
    image: P,
    radius: Annotated[float, Range(0.0, 1000.0)] = 4.0,
    *,
    kind: Blur = "gaussian",
    reach: Annotated[Reach, ADDED_LATER] = None,
) -> P:
    """Blur pictures, or soften the edges of masks. Colours are weighted by alpha.

    Args:
        image: the pictures, or the masks.
        radius: in pixels; the standard deviation of `gaussian`. 1 is hardly seen, 4 soft, 0 changes nothing.
        kind: `gaussian` is smooth; `box` averages squares; `median` removes specks and keeps edges.
        reach: pixels on each side that `gaussian` is cut off behind; beyond an edge it takes the picture's mirror then.
            Left out, it is whole.
    """
    return as_given(image, blurred(pixels_of(image), radius, kind, reach))


@node(category="image", lane="cpu", traits=SAME)
def SharpenImage(
    image: Image,
    amount: Annotated[float, Range(0.0, 50.0)] = 0.5,
    *,
    radius: Annotated[float, Range(0.0, 1000.0)] = 1.5,
    threshold: Level = 0.0,
    reach: Annotated[Reach, ADDED_LATER] = None,
) -> Image:
    """Sharpen pictures by unsharp masking: what a blur takes away is added.

    Args:
        image: the pictures; alpha stays.
        amount: how much is added; 0.5 is moderate, above 1.5 halos show.
        radius: of the blur in pixels; about 1 after a picture was made smaller, 2 to 3 for large prints.
        threshold: differences up to this are left alone, so that noise is not sharpened; 0.02 for grainy pictures.
        reach: pixels on each side that the blur is cut off behind, as in BlurImage.
    """
    colours = image.pixels[..., :3]
    made = sharpened(colours, radius, amount, threshold, reach).clamp(0, 1) if amount else colours
    return _with_alpha(made, image)


@node(category="image", lane="cpu", traits=SAME)
def AdjustColours(
    image: Image,
    *,
    brightness: Factor = 1.0,
    contrast: Factor = 1.0,
    saturation: Factor = 1.0,
    gamma: Annotated[float, Range(0.01, 10.0)] = 1.0,
    hue: Annotated[float, Range(-360.0, 360.0)] = 0.0,
) -> Image:
    """Change brightness, contrast, saturation, gamma and hue of pictures, in this order.

    The first three are those of Pillow's `ImageEnhance`, without rounding to 8 bits.

    Args:
        image: the pictures; alpha stays.
        brightness: a factor of all levels; 0 is black.
        contrast: a factor of the distance to the mean brightness; 0 is grey.
        saturation: a factor of the distance to grey; 0 is a black and white picture.
        gamma: levels to the power of 1 / gamma: more than 1 lightens middle tones, less darkens them.
        hue: by how many degrees hues are rotated; 180 exchanges complementary colours.
    """
    colours = adjusted(image.pixels[..., :3], brightness, contrast, saturation, gamma)
    return _with_alpha(hue_rotated(colours, hue), image)


def _check_levels(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The white point must lie above the black point."""
    black, white = inputs.get("black"), inputs.get("white")
    if black is not None and white is not None and white <= black:
        message = f"the white point, {white}, does not lie above the black point, {black}"
        yield NodeProblem("white", message, "give a larger `white`", "empty-interval")


@node(category="image", lane="cpu", check=_check_levels, traits=SAME)
def SetLevels(
    image: P,
    black: Level = 0.0,
    white: Level = 1.0,
    *,
    gamma: Annotated[float, Range(0.01, 10.0)] = 1.0,
    low: Level = 0.0,
    high: Level = 1.0,
) -> P:
    """Spread the levels of pictures or masks: black and white point, gamma, and the range of the result.

    Args:
        image: the pictures, or the masks; alpha stays.
        black: what becomes the darkest level; everything below it does too.
        white: what becomes the lightest level; everything above it does too.
        gamma: more than 1 lightens middle tones, less darkens them.
        low: the darkest level of the result.
        high: the lightest level of the result; below `low` light and dark change places.
    """
    pixels = pixels_of(image)
    if (black, white, gamma, low, high) == (0, 1, 1, 0, 1):
        return image
    made = levelled(pixels[..., :3], black, white, gamma, low, high)
    return as_given(image, _joined(made, pixels))


@node(category="image", lane="cpu", traits=SAME)
def MatchColours(
    image: Image, reference: Image, *, method: Matching = "mean", strength: Annotated[float, Range(0.0, 1.0)] = 1.0
) -> Image:
    """Give pictures the colours of another picture: light, tint and contrast, not the motif.

    Args:
        image: the pictures; alpha stays.
        reference: the picture with the wanted colours: one for all, or one for each; of any size.
        method: `mean` moves mean and spread of L*a*b* (Reinhard et al. 2001); `covariance` also turns colours, as
            little as it takes (Pitie and Kokaram 2007); `histogram` copies the distribution of each channel.
        strength: how far colours are moved: 0 not at all, 1 all the way.
    """
    import torch

    batch = batch_of(len(image.pixels), len(reference.pixels))
    pixels = image.pixels.expand(batch, -1, -1, -1)
    colours = pixels[..., :3]
    made = torch.lerp(colours, matched(colours, reference.pixels[..., :3], method), strength)
    return Image(_joined(made, pixels).contiguous())


@node(category="image", lane="cpu", traits=SAME)
def InvertImage(image: P) -> P:
    """Invert pictures or masks: 1 less each level. Edges white on black become black on white.

    Args:
        image: the pictures, or the masks; alpha stays.
    """
    pixels = pixels_of(image)
    return as_given(image, _joined(1 - pixels[..., :3], pixels))


def _with_alpha(colours: Tensor, image: Image) -> Image:
    return Image(_joined(colours, image.pixels).contiguous())


def _joined(colours: Tensor, pixels: Tensor) -> Tensor:
    """Changed colours with the alpha of the pixels that they were made of."""
    import torch

    return torch.cat([colours, pixels[..., 3:]], dim=-1) if pixels.shape[-1] == 4 else colours
