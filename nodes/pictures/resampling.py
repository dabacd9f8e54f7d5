"""Pixels scaled and rotated by Pillow's filters, which widen where they reduce, on floating-point levels; and scaled by
torch's, which do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from weft.nodes.pictures.alpha import weighted
from weft.nodes.pictures.fitting import SourceBox
from weft.nodes.sizes import Size, size_of

if TYPE_CHECKING:
    import PIL.Image
    from torch import Tensor

AliasedFilter = Literal["bilinear_aliased", "bicubic_aliased"]
"""Filters that see 4 and 16 elements, however much is reduced; torch's cubic has a = -0.75, and Pillow's -0.5."""

ALIASED: Mapping[str, str] = {"bilinear_aliased": "bilinear", "bicubic_aliased": "bicubic"}
"""Their modes of torch's `interpolate`."""

Filter = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos", AliasedFilter]

RotationFilter = Literal["nearest", "bilinear", "bicubic"]


def resized(pixels: Tensor, size: Size, filter: Filter, box: SourceBox | None = None) -> Tensor:
    """Pixels, or the part of them in a box, in another size; equal pixels where the size stays.

    Filters that overshoot (bicubic, lanczos) end at 0 and 1, or where the levels that they are given end.
    """
    import PIL.Image

    whole = SourceBox(0, 0, *size_of(pixels))
    box = box or whole
    if size == size_of(pixels) and box == whole:
        return pixels
    if filter in ALIASED:
        return weighted(pixels, lambda levels: within_range(_aliased(levels, size, filter, box), levels))
    method = PIL.Image.Resampling[filter.upper()]

    def one(channel: PIL.Image.Image) -> PIL.Image.Image:
        return channel.resize(size, method, (box.left, box.top, box.right, box.bottom))

    return weighted(pixels, lambda levels: within_range(each_channel(levels, one), levels))


def _aliased(pixels: Tensor, size: Size, filter: str, box: SourceBox) -> Tensor:
    """The whole pixels of a box in another size."""
    import torch

    width, height = size_of(pixels)
    rows = slice(round(box.top), height - round(height - box.bottom))
    columns = slice(round(box.left), width - round(width - box.right))
    planes = pixels[:, rows, columns].movedim(-1, 1)
    return torch.nn.functional.interpolate(planes, (size.height, size.width), mode=ALIASED[filter]).movedim(1, -1)


def rotated(pixels: Tensor, angle: float, filter: RotationFilter, expand: bool) -> Tensor:
    """Pixels rotated to the left by degrees; 0 where nothing was. Multiples of 90 move pixels as they are."""
    import PIL.Image
    import torch

    if (quarters := _quarters(pixels, angle, expand)) is not None:
        return torch.rot90(pixels, quarters, (1, 2)).contiguous()
    method = PIL.Image.Resampling[filter.upper()]

    def one(channel: PIL.Image.Image) -> PIL.Image.Image:
        return channel.rotate(angle, method, expand)

    return within_range(each_channel(pixels, one), pixels)


def _quarters(pixels: Tensor, angle: float, expand: bool) -> int | None:
    """How many quarter turns to the left a rotation is, where it moves pixels as they are; else None."""
    quarters, (height, width) = angle % 360 / 90, pixels.shape[1:3]
    moves = quarters.is_integer() and (expand or quarters % 2 == 0 or width == height)
    return int(quarters) if moves else None


def turned(
    pixels: Tensor, angle: float, filter: RotationFilter, expand: bool, background: tuple[float, float, float]
) -> Tensor:
    """Pixels rotated over a background: a colour, transparent where they have alpha, 0 in masks."""
    import torch

    if pixels.shape[-1] == 1 or _quarters(pixels, angle, expand) is not None:
        return rotated(pixels, angle, filter, expand)
    colours = pixels[..., :3]
    coverage = pixels[..., 3:] if pixels.shape[-1] == 4 else torch.ones_like(pixels[..., :1])
    moved = rotated(torch.cat([colours * coverage, coverage], dim=-1), angle, filter, expand)
    colours, coverage = moved[..., :3], moved[..., 3:]
    if pixels.shape[-1] == 3:
        return colours + (1 - coverage) * torch.tensor(background, dtype=torch.float32)
    plain = torch.where(coverage > 1e-6, colours / coverage.clamp(min=1e-6), torch.zeros_like(colours))
    return torch.cat([within_range(plain, pixels), coverage], dim=-1)


def each_channel(pixels: Tensor, change: Callable[[PIL.Image.Image], PIL.Image.Image]) -> Tensor:
    """Each channel of each picture changed as a Pillow picture of floating-point levels."""
    import numpy
    import PIL.Image
    import torch

    changed = [
        numpy.stack(
            [numpy.asarray(change(PIL.Image.fromarray(item[..., channel]))) for channel in range(item.shape[-1])], -1
        )
        for item in map(numpy.ascontiguousarray, pixels.numpy())
    ]
    return torch.from_numpy(numpy.stack(changed))


def within_range(changed: Tensor, source: Tensor) -> Tensor:
    """Levels that end at 0 and 1, or where those that they were made of end."""
    low, high = source.aminmax()
    return changed.clamp(min(0.0, float(low)), max(1.0, float(high)))
