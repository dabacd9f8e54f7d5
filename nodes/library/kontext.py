"""Pictures in the sizes of FLUX.1 Kontext's training: ScaleImageToKontext."""

from __future__ import annotations

from typing import Literal

from weft.engine import INJECTED, Context, Upstream, check_pixels, node
from weft.nodes.pictures.fitting import filled
from weft.nodes.pictures.planes import as_given, pixels_of
from weft.nodes.pictures.resampling import Filter, resized
from weft.nodes.sizes import Size, SizeTraits, size_of
from weft.nodes.values import P

WIDTHS = (672, 688, 720, 752, 800, 832, 880, 944, 1024)
HEIGHTS = (1568, 1504, 1456, 1392, 1328, 1248, 1184, 1104, 1024)

KONTEXT_SIZES = tuple(Size(*pair) for pair in {*zip(WIDTHS, HEIGHTS, strict=True), *zip(HEIGHTS, WIDTHS, strict=True)})
"""The sizes that FLUX.1 Kontext was trained with, as its authors and diffusers list them."""


def kontext_size(source: Size) -> Size:
    """The size whose ratio of width to height is nearest to a picture's; of two equally near ones the narrower."""
    ratio = source.width / source.height
    return min(KONTEXT_SIZES, key=lambda size: (abs(size.width / size.height - ratio), size.width))


def _size(node: Upstream, source: Size | None) -> Size | None:
    return kontext_size(source) if source else None


@node(category="image", lane="cpu", traits=(SizeTraits(_size, of="image"),))
def ScaleImageToKontext(
    image: P,
    *,
    fit: Literal["fill", "stretch"] = "fill",
    filter: Filter = "lanczos",
    context: Context = INJECTED,
) -> P:
    """Scale pictures to that size of FLUX.1 Kontext's training whose proportions are nearest.

    There are seventeen, from 672 x 1568 to 1568 x 672, each of about a megapixel. Qwen-Image-Edit takes them too.

    Args:
        image: the pictures, or the masks.
        fit: `fill` keeps the proportions and cuts off a little; `stretch` changes them a little, as diffusers does.
        filter: as in ScaleImage.
    """
    pixels = pixels_of(image)
    source = size_of(pixels)
    size = kontext_size(source)
    check_pixels(*size, len(pixels), context.limits)
    return as_given(image, resized(pixels, size, filter, filled(source, size, "centre") if fit == "fill" else None))
