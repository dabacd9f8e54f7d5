"""Previews: what latents look like, without their VAE.

A latent is nearly a picture already: a linear map from its channels to red, green and blue, fitted by least squares,
shows the composition and the colours. A family has the map for its published checkpoints. A diffusers folder with
another VAE may hold its own map in `preview.json`, and name a tiny autoencoder there that shows more. Importing this
module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, listed
from weft.nodes import builtin
from weft.nodes.models.diffusers_folder import read_config
from weft.nodes.models.safetensors_header import read_header
from weft.nodes.models.tiny_halves import decoder_in, half_of

if TYPE_CHECKING:
    from torch import Tensor

FILE = "preview.json"
"""The file next to a model_index.json: `weights` and `offset` of the map, and perhaps the name of a `decoder`."""

ENLARGED = 4
"""How much larger than the latents a preview is at least, along each side."""

MOST = 256
"""The greatest side of a preview, in pixels."""

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class LatentRGBFactors:
    """A linear map from latents, in the scale that their model samples in, to pictures in 0..1.

    Args:
        weights: what one unit of each channel adds to red, green and blue; none where no map is known: then the three
            directions in which a picture's own latents vary most are its colours, which shows shapes.
        offset: the colour of a latent of zeros.
        decoder: the tiny autoencoder over the same latents that is used instead: the name of a builtin one, or the path
            of the file or folder of one; empty uses the map.
        published: the name of a published tiny autoencoder over the same latents; empty for none.
    """

    weights: tuple[Colour, ...]
    offset: Colour = (0.5, 0.5, 0.5)
    decoder: str = ""
    published: str = ""

    def of(self, latents: Tensor) -> Tensor:
        """The first item of latents `[batch, channel, height, width]` as a picture `[height, width, 3]` in 0..1.

        The map's picture has the latents' size, a decoder's its own. Of a clip `[batch, channel, frame, height, width]`
        it is the frame in the middle.
        """
        import torch

        pictures = latents[:, :, latents.shape[2] // 2] if latents.ndim == 5 else latents
        first = pictures[:1].float().cpu()
        if self.decoder:
            with torch.no_grad():
                planes: Tensor = _decoder(self.decoder)(first) / 2 + 0.5
        else:
            if first.shape[1] == 1:  # grey pixels
                first = first.expand(-1, len(self.weights), -1, -1)
            weights, offset = (torch.tensor(one, dtype=torch.float32) for one in (self.weights, self.offset))
            if not self.weights:
                first, weights = first - first.mean(dim=(2, 3), keepdim=True), _directions(first)
            planes = torch.einsum("bchw,ck->bkhw", first, weights) + offset[:, None, None]
        return planes[0].permute(1, 2, 0).nan_to_num().clamp(0, 1)

    def png(self, latents: Tensor) -> bytes:
        """The first item of latents as a small PNG."""
        import PIL.Image

        picture = PIL.Image.fromarray((self.of(latents) * 255).round().byte().numpy())
        scale = min(max(1.0, ENLARGED * latents.shape[-1] / picture.width), MOST / max(picture.size))
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        packed = BytesIO()
        picture.resize(size, PIL.Image.Resampling.BOX).save(packed, "PNG", compress_level=1)
        return packed.getvalue()


def false_colours(channels: int) -> LatentRGBFactors:
    """The first three of so many channels as red, green and blue: shapes, for latents of which no map is known."""
    return LatentRGBFactors(tuple((0.2 * (n == 0), 0.2 * (n == 1), 0.2 * (n == 2)) for n in range(channels)))


def latent_rgb_factors_of(root: Path, otherwise: LatentRGBFactors) -> LatentRGBFactors:
    """The map in a checkpoint's folder, or `otherwise` where there is none.

    Raises:
        InputError: where its file holds no map of as many channels as the other one has, or names an unknown decoder.
    """
    if not (root / FILE).is_file():
        return otherwise
    given, channels = read_config(root / FILE), len(otherwise.weights)
    try:
        weights, offset = tuple(map(_colour, given["weights"])), _colour(given["offset"])
    except (KeyError, TypeError, ValueError):
        weights, offset = (), otherwise.offset
    if not weights or len(weights) != (channels or len(weights)):
        raise InputError(
            f"`{root.name}/{FILE}` is no map from {channels or 'its'} channels to colours",
            f"give three numbers for each of {channels or 'its'} channels as `weights` and three as `offset`, or "
            "remove the file",
            "malformed-preview",
        )
    decoder = given.get("decoder", "")
    if decoder and decoder not in builtin.names():
        known = listed(builtin.names())
        raise InputError(
            f"`{root.name}/{FILE}` names no builtin model as its decoder: {decoder!r}",
            f"one of: {known}",
            "unknown-model",
        )
    return LatentRGBFactors(weights, offset, decoder)


def with_decoder(colours: LatentRGBFactors, folder: Path | None) -> LatentRGBFactors:
    """A map with the published tiny autoencoder in its place, where a user's folder has that.

    Args:
        folder: with files such as `taesd_decoder.safetensors`, or folders of diffusers such as `taesd`.

    Raises:
        InputError: where it decodes latents of another number of channels, or is something else.
    """
    name = colours.published
    if folder is None or not name or colours.decoder:
        return colours
    file, whole = folder / f"{name}_decoder.safetensors", folder / name
    if file.is_file():
        shapes = read_header(file).shapes
        channels = shapes["1.weight"][1] if half_of(shapes) == "decoder" else 0
    elif (whole / "config.json").is_file():
        channels = read_config(whole / "config.json").get("latent_channels", 4)
    else:
        return colours
    if channels != (len(colours.weights) or channels):
        raise InputError(
            f"`{file if file.is_file() else whole}` is no tiny decoder of latents of {len(colours.weights)} channels",
            "get it again, or take it out of the folder that the setting `preview_decoders` names",
            "wrong-kind-of-file",
        )
    return replace(colours, decoder=str(file if file.is_file() else whole))


def _directions(latents: Tensor) -> Tensor:
    """The three directions in which elements of latents `[1, channel, height, width]` vary most, `[channel, 3]`.

    Two standard deviations are half of the range of a colour.
    """
    import torch

    elements = latents[0].flatten(1).nan_to_num().double()
    variances, found = torch.linalg.eigh(torch.cov(elements))
    largest = found[:, -3:].flip(1)
    signs = largest.gather(0, largest.abs().argmax(dim=0, keepdim=True)).sign()
    colours: Tensor = largest * signs / variances[-3:].flip(0).clamp(min=1e-12).sqrt() / 4
    return colours.float()


@cache
def _decoder(name: str) -> Callable[[Tensor], Tensor]:
    """The decoder of a tiny autoencoder, kept for the next preview: latents to pixels in -1..1."""
    import diffusers

    from weft.nodes.models.silence_libraries import quietly

    if name.endswith(".safetensors"):
        return decoder_in(Path(name))
    tiny: Any = diffusers.AutoencoderTiny
    with quietly():
        decoder: Callable[[Tensor], Tensor] = tiny.from_pretrained(
            builtin.path(name) if name in builtin.names() else name
        ).decoder
    return decoder


def fitted(latents: Tensor, pictures: Tensor) -> LatentRGBFactors:
    """The map that fits given pictures best, by least squares.

    Args:
        latents: `[batch, channel, height, width]`, in the scale that their model samples in.
        pictures: the decoded latents, reduced to the latents' size, `[batch, 3, height, width]` in 0..1.
    """
    import torch

    known, wanted = (planes.float().movedim(1, -1).flatten(0, -2) for planes in (latents, pictures))
    found = torch.linalg.lstsq(torch.cat([known, torch.ones(len(known), 1)], dim=1), wanted).solution
    *weights, offset = (_colour(round(share, 4) for share in row) for row in found.tolist())
    return LatentRGBFactors(tuple(weights), offset)


def _colour(given: Any) -> Colour:
    red, green, blue = map(float, given)
    return red, green, blue
