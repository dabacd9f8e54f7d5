"""The deep compression autoencoder of Sana: latents of 32 by 32 pixels, and no distribution of them.

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from weft.nodes.models.autoencoder import Autoencoder, LatentDistribution

if TYPE_CHECKING:
    from torch import Tensor


class DenseAutoencoder(Autoencoder):
    """An autoencoder that encodes to latents themselves."""

    def _encoded_pictures(self, pixels: Tensor) -> LatentDistribution:
        return LatentDistribution(self.network.encode(pixels).latent)

    def in_exact_tiles(self, side: int) -> Callable[[], None]:
        """Attention sees the whole picture, so tiles would change it."""
        return lambda: None

    def _tiling(self, tile: int) -> Mapping[str, int]:
        """Tiles that overlap by an eighth, as diffusers' own do."""
        sides, stride = ("height", "width"), tile * 7 // 8 // self.factor * self.factor
        return {
            **{f"tile_sample_min_{side}": tile for side in sides},
            **{f"tile_sample_stride_{side}": stride for side in sides},
            **{f"tile_latent_min_{side}": tile // self.factor for side in sides},
        }


def dense_sizes(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """Channels of latents, their factor, and no factor of time."""
    return config.get("latent_channels", 32), 2 ** (len(config.get("encoder_block_out_channels", [0] * 6)) - 1), 1


def dense_vae(network: Any, sizes: tuple[int, int, int], spec: object) -> Autoencoder:
    """The autoencoder with the scale of its configuration."""
    return DenseAutoencoder(network, *sizes, scale=float(network.config.scaling_factor))
