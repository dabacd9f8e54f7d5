"""The torch modules that recipes become: a denoiser, what reads prompts, and what stands between pixels and latents.

A family makes them its own by overriding what differs: a `Denoiser` says what its network is called with, an `Encoder`
what becomes of a text. Imports torch: only families and the bodies of nodes import this module.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from weft.nodes.preview import Colours

if TYPE_CHECKING:
    from weft.nodes.values import Conditioning, Latent

Conditions = dict[str, Tensor]
"""What a network is called with beside latents and timestep: tensors with one row for all items, or one for each."""

Residuals = tuple[list[Tensor], Tensor]
"""What ControlNets add to a UNet: one tensor for each skip connection, and one for the middle."""


class Denoiser(nn.Module):
    """A network that denoises, with its checkpoint's scheduler configuration.

    Args:
        scheduler: the configuration of the diffusers scheduler that came with it.
        latent_channels: channels of the latents that it denoises.
        latent_factor: pixels to a latent element, along each side.
        colours: what its latents look like.
    """

    multiple = 1
    """Latent elements that a side must be a multiple of."""

    def __init__(
        self, network: Any, scheduler: Mapping[str, Any], latent_channels: int, latent_factor: int, colours: Colours
    ) -> None:
        super().__init__()
        self.network = network
        self.scheduler = dict(scheduler)
        self.latent_channels = latent_channels
        self.latent_factor = latent_factor
        self.colours = colours

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return cast(torch.dtype, self.network.dtype)

    @property
    def prompt_width(self) -> int:
        """Channels of the prompts that it reads."""
        return int(self.network.config.cross_attention_dim)

    @property
    def channels_beside(self) -> int:
        """Channels that it sees beside its latents: an inpainting model's mask and picture."""
        return int(self.network.config.in_channels) - self.latent_channels

    def conditions(self, prompt: Conditioning[Any], latent: Latent[Any], *, negative: bool) -> Conditions:
        """What the network is told of a prompt, for latents of a size.

        Args:
            negative: whether guidance leads away from this prompt.
        """
        return {"encoder_hidden_states": prompt.embeddings}

    def scale_conditions(self, scale: float) -> Conditions | None:
        """How a network that was distilled with guidance is told its scale; None where guidance is done outside.

        Such a network is asked with the positive prompt alone.
        """
        return None

    def timing(self, steps: int, latent: Latent[Any]) -> Mapping[str, Any]:
        """What the scheduler's timesteps depend on beside their number, as arguments of `set_timesteps`."""
        return {}

    def arguments(self, conditions: Conditions) -> dict[str, Any]:
        """Conditions as the network's arguments."""
        return dict(conditions)

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The network's prediction `[row, channel, height, width]` for latents of that shape at a timestep (a scalar).

        Args:
            conditions: with a row for each of the sample's.
            residuals: what ControlNets add.
        """
        prediction: Tensor = self.network(sample, timestep, **self.arguments(conditions), return_dict=False)[0]
        return prediction


class Encoded(NamedTuple):
    """Texts as a denoiser reads them: `[text, token, channel]`, and `[text, channel]` where it reads a vector too."""

    embeddings: Tensor
    pooled: Tensor | None = None


class Encoder(nn.Module, ABC):
    """What turns texts into what a denoiser reads."""

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Encoded:
        """Some texts, float32, on the CPU."""

    def unprompted(self) -> Encoded:
        """What stands where guidance is given no negative prompt: the empty one, unless a family says else."""
        return self.encode([""])


class Autoencoder(nn.Module):
    """A VAE between pixels in -1..1 and latents in the scale that its family's models sample in."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        self.scale = float(vae.config.scaling_factor)
        self.shift = float(getattr(vae.config, "shift_factor", None) or 0.0)

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


def picture(pixels: Tensor) -> Tensor:
    """Pixels `[batch, channel, height, width]` in -1..1 as pictures `[batch, height, width, channel]` in 0..1."""
    return (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu().contiguous()


def signed(pictures: Tensor) -> Tensor:
    """Pictures `[batch, height, width, channel]` in 0..1 as pixels `[batch, channel, height, width]` in -1..1."""
    return (2 * pictures - 1).permute(0, 3, 1, 2)
