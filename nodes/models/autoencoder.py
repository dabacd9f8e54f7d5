"""What stands between pixels and latents: a VAE with its scale, or nothing at all where a model samples pixels.

Importing this module imports no torch. Read next: `weft.nodes.models.autoencoder_kl`, which loads VAEs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


class Autoencoder:
    """A VAE between pixels in -1..1 and latents in the scale that its family's models sample in.

    Args:
        vae: the network, a diffusers class.
    """

    def __init__(self, vae: Any) -> None:
        self.vae = vae
        self.scale = float(vae.config.scaling_factor)
        self.shift = float(getattr(vae.config, "shift_factor", None) or 0.0)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The torch modules whose weights it keeps in memory."""
        return (self.vae,)

    @property
    def factor(self) -> int:
        """Pixels to a latent element, along each side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def decode(self, latents: Tensor, tile: int = 0) -> Tensor:
        """Pictures `[batch, height, width, channel]` in 0..1 from latents, float32, on the CPU.

        Args:
            tile: the side of the tiles in pixels; 0 decodes whole pictures.
        """
        scaled = latents.to(self.vae.device, self.vae.dtype) / self.scale + self.shift
        with self._tiled(tile) if tile else nullcontext():
            pixels = self.vae.decode(scaled, return_dict=False)[0]
        return picture(pixels)

    @contextmanager
    def _tiled(self, tile: int) -> Iterator[None]:
        """The VAE in tiles of this side, and as it was on exit."""
        sides = {"tile_sample_min_size": tile, "tile_latent_min_size": tile // self.factor, "use_tiling": True}
        before = {name: getattr(self.vae, name) for name in sides}
        self.vae.__dict__.update(sides)
        try:
            yield
        finally:
            self.vae.__dict__.update(before)

    def encode(self, pictures: Tensor) -> Tensor:
        """The mean latents of pictures `[batch, height, width, 3]` in 0..1, float32, on the CPU."""
        pixels = signed(pictures).to(self.vae.device, self.vae.dtype)
        mean = self.vae.encode(pixels).latent_dist.mean
        latents: Tensor = ((mean - self.shift) * self.scale).float().cpu()
        return latents


class Pixels(Autoencoder):
    """What stands for a VAE where a model samples pixels themselves: its latents are pixels in -1..1."""

    def __init__(self) -> None:
        self.scale, self.shift = 1.0, 0.0

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return ()

    @property
    def factor(self) -> int:
        return 1

    def decode(self, latents: Tensor, tile: int = 0) -> Tensor:
        return picture(latents)

    def encode(self, pictures: Tensor) -> Tensor:
        return signed(pictures)


def picture(pixels: Tensor) -> Tensor:
    """Pixels `[batch, channel, height, width]` in -1..1 as pictures `[batch, height, width, channel]` in 0..1."""
    return (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu().contiguous()


def signed(pictures: Tensor) -> Tensor:
    """Pictures `[batch, height, width, channel]` in 0..1 as pixels `[batch, channel, height, width]` in -1..1."""
    return (2 * pictures - 1).permute(0, 3, 1, 2)
