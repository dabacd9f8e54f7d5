"""Repainting a part of a large picture: CropToMask cuts it out, StitchImage puts it back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

from weft.engine import INJECTED, Context, InputError, NodeProblem, Range, Upstream, check_pixels, node, value
from weft.nodes.pictures.resampling import Filter, resized
from weft.nodes.sampling.size_checks import go_together, sizes_match
from weft.nodes.sizes import Size, SizeTraits, literal_size, same_size, size_of
from weft.nodes.value_checks import check_mask_size, check_size
from weft.nodes.values import Image, Mask

if TYPE_CHECKING:
    from torch import Tensor

Side = Annotated[int, Range(8, 2**20, step=8)]


@value
@dataclass(frozen=True)
class CropRegion:
    """The part of a picture that was cut out, in pixels.

    Args:
        left: where it begins, from the left edge.
        top: where it begins, from the top edge.
    """

    left: int
    top: int
    width: int
    height: int

    def check_value(self) -> None:
        """Raise `InputError` for a part of no size."""
        check_size("a CropRegion", width=self.width, height=self.height)


class CroppedToMask(NamedTuple):
    """The part of a picture around its mask, scaled, with its mask and its place."""

    image: Image
    mask: Mask
    region: CropRegion


def _mask_fits(node: Upstream) -> Iterator[NodeProblem]:
    """The mask must be of the size of the picture."""
    yield from sizes_match(node, "mask", "image")
    yield from go_together(node, *(name for name in ("image", "patch", "mask") if name in node.call.inputs))


@node(category="image", lane="cpu", fits=_mask_fits, traits=(SizeTraits(literal_size, batch_of=("image",)),))
def CropToMask(
    image: Image,
    mask: Mask,
    width: Side = 512,
    height: Side = 512,
    *,
    padding: Annotated[int, Range(0, 2**20)] = 32,
    filter: Filter = "lanczos",
    context: Context = INJECTED,
) -> CroppedToMask:
    """Cut out what is masked, with some of what is around it, at the size that a model paints best.

    A small part of a large picture is then painted with all the detail that the model has. StitchImage puts it back.
    The part is found as diffusers finds it for `padding_mask_crop`: the box around the mask and its padding, widened to
    the proportions of `width` and `height`, and moved to lie within the picture. Where the picture is too small for
    these proportions, the part is stretched to them, and back when it is put in place.

    Args:
        image: the pictures; of a batch all are cut at one place, which holds the masks of all.
        mask: of the pictures' size; everything above 0 counts.
        width: of the result in pixels, a multiple of 8: 512 for SD 1.x, 1024 for SDXL, SD 3, FLUX.1 and later models.
        height: of the result, in pixels.
        padding: pixels around the mask that the model sees: 32 to 128; more lets it follow light and lines further.
        filter: how pixels are scaled; `lanczos` is the sharpest.
    """
    source = size_of(image.pixels)
    check_mask_size(mask.coverage, *source, len(image.pixels))
    check_pixels(width, height, len(image.pixels), context.limits)
    region = _around(mask.coverage, padding, Size(width, height))
    cut = [_part(pixels, region) for pixels in (image.pixels, mask.coverage[..., None])]
    seen, marked = (resized(part, Size(width, height), filter).contiguous() for part in cut)
    return CroppedToMask(Image(seen), Mask(marked[..., 0].clamp(0, 1)), region)


@node(
    category="image",
    lane="cpu",
    fits=_mask_fits,
    traits=(SizeTraits(same_size, of="image", batch_of=("image", "patch")),),
)
def StitchImage(
    image: Image, patch: Image, mask: Mask, region: CropRegion | None = None, *, filter: Filter = "lanczos"
) -> Image:
    """Put what was repainted back into its picture, under the mask; every pixel outside of it stays exactly as it was.

    A VAE changes pixels a little even where nothing was repainted: this gives back those of the picture.

    Args:
        image: the whole picture, as it was before. Its alpha stays.
        patch: the repainted picture, or the part that CropToMask cut out; it is scaled to its place.
        mask: of the whole picture's size: 1 shows what was repainted, 0 the picture; a blurred edge hides seams.
        region: from CropToMask; null is the whole picture.
        filter: how pixels are scaled; `lanczos` is the sharpest.
    """
    import torch

    source = size_of(image.pixels)
    place = region or CropRegion(0, 0, *source)
    _check_within(place, source)
    batch = max(len(image.pixels), len(patch.pixels))
    if {len(image.pixels), len(patch.pixels)} - {1, batch}:
        message = f"there are {len(patch.pixels)} repainted pictures for {len(image.pixels)}"
        raise InputError(message, "give one for all, or one for each", "batch-mismatch")
    check_mask_size(mask.coverage, *source, batch)
    given = resized(patch.pixels[..., :3], Size(place.width, place.height), filter)
    coverage = _part(mask.coverage[..., None], place).clamp(0, 1)
    pixels = image.pixels.expand(batch, -1, -1, -1).clone()
    below = _part(pixels, place)[..., :3]
    below[:] = torch.where(coverage > 0, (1 - coverage) * below + coverage * given, below)
    return Image(pixels)


def _part(pixels: Tensor, region: CropRegion) -> Tensor:
    """The pixels `[batch, height, width, channel]` of a region."""
    return pixels[:, region.top : region.top + region.height, region.left : region.left + region.width]


def _check_within(region: CropRegion, source: Size) -> None:
    """Raise `InputError` where a region is not within a picture."""
    if region.left + region.width > source.width or region.top + region.height > source.height:
        found = f"{region.width} x {region.height} from {region.left}, {region.top} on"
        message = f"the region ({found}) does not lie within the picture of {source}"
        raise InputError(message, "give the picture that CropToMask was given", "size-mismatch")


def _around(coverage: Tensor, padding: int, wanted: Size) -> CropRegion:
    """The region around masks `[batch, height, width]`, of the proportions of a size as far as the picture allows it.

    Raises:
        InputError: where nothing is masked.
    """
    marked = (coverage > 0).any(0)
    rows, columns = marked.any(1).nonzero()[:, 0].tolist(), marked.any(0).nonzero()[:, 0].tolist()
    if not rows:
        raise InputError("nothing is masked", "give a mask that is above 0 somewhere", "empty-mask")
    height, width = marked.shape
    left, right = max(columns[0] - padding, 0), min(columns[-1] + 1 + padding, width)
    top, bottom = max(rows[0] - padding, 0), min(rows[-1] + 1 + padding, height)
    ratio = wanted.width / wanted.height
    if (right - left) / (bottom - top) > ratio:
        top, bottom = _widened(top, bottom, int((right - left) / ratio), height)
    else:
        left, right = _widened(left, right, int((bottom - top) * ratio), width)
    return CropRegion(left, top, right - left, bottom - top)


def _widened(first: int, last: int, length: int, most: int) -> tuple[int, int]:
    """A stretch of pixels made longer on both sides, and moved to lie within 0 and `most`."""
    more = length - (last - first)
    first, last = first - more // 2, last + more - more // 2
    if last > most:
        first, last = first - (last - most), most
    if first < 0:
        first, last = 0, min(last - first, most)
    return first, last
