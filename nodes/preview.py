"""Previews: what latents look like, without a VAE.

A latent is nearly a picture already: a linear map from its channels to red, green and blue, fitted by least squares,
shows the composition and the colours. A family carries the map of the checkpoints that it knows; a diffusers folder of
another VAE says its own in `preview.json`. Importing this module imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.folders import read_config

if TYPE_CHECKING:
    from torch import Tensor

FILE = "preview.json"
"""The file beside a model_index.json that holds the map of its latents: `weights` and `offset`."""

ENLARGED = 4
"""How much larger than the latents a preview is, along each side."""

MOST = 256
"""The greatest side of a preview, in pixels."""

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Colours:
    """A linear map from latents, in the scale that their model samples in, to pictures in 0..1.

    Args:
        weights: what one unit of each channel adds to red, green and blue.
        offset: the colour of a latent of zeros.
    """

    weights: tuple[Colour, ...]
    offset: Colour = (0.5, 0.5, 0.5)

    def of(self, latents: Tensor) -> Tensor:
        """The first item of latents `[batch, channel, height, width]` as a picture `[height, width, 3]` in 0..1."""
        import torch

        planes = latents[0].float().cpu().permute(1, 2, 0)
        picture: Tensor = planes @ torch.tensor(self.weights) + torch.tensor(self.offset)
        return picture.nan_to_num().clamp(0, 1)

    def png(self, latents: Tensor) -> bytes:
        """The first item of latents as a small PNG."""
        import PIL.Image

        picture = PIL.Image.fromarray((self.of(latents) * 255).round().byte().numpy())
        scale = min(ENLARGED, MOST / max(picture.size))
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        packed = BytesIO()
        picture.resize(size, PIL.Image.Resampling.NEAREST).save(packed, "PNG", compress_level=1)
        return packed.getvalue()


def colours_of(root: Path, otherwise: Colours) -> Colours:
    """The map that a checkpoint's folder says, or another where it says none.

    Raises:
        InputError: where its file holds no map of as many channels as the other one has.
    """
    if not (root / FILE).is_file():
        return otherwise
    given, channels = read_config(root / FILE), len(otherwise.weights)
    try:
        weights, offset = tuple(map(_colour, given["weights"])), _colour(given["offset"])
    except (KeyError, TypeError, ValueError):
        weights, offset = (), otherwise.offset
    if len(weights) != channels:
        raise InputError(
            f"`{root.name}/{FILE}` is no map from {channels} channels to colours",
            f"give {channels} times three numbers as `weights` and three as `offset`, or remove the file",
        )
    return Colours(weights, offset)


def fitted(latents: Tensor, pictures: Tensor) -> Colours:
    """The map that comes nearest, by least squares, to given pictures.

    Args:
        latents: `[batch, channel, height, width]`, in the scale that their model samples in.
        pictures: what they stand for, reduced to their size, `[batch, 3, height, width]` in 0..1.
    """
    import torch

    known, wanted = (planes.float().movedim(1, -1).flatten(0, -2) for planes in (latents, pictures))
    found = torch.linalg.lstsq(torch.cat([known, torch.ones(len(known), 1)], dim=1), wanted).solution
    *weights, offset = (_colour(round(share, 4) for share in row) for row in found.tolist())
    return Colours(tuple(weights), offset)


def _colour(given: Any) -> Colour:
    red, green, blue = map(float, given)
    return red, green, blue
