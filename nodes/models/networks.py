"""The torch modules that recipes become: a denoiser, and what stands between pixels and latents.

What reads prompts is in `weft.nodes.prompting.prompt_encoder`. They are the same for every family, which knows how they
are used (`weft.nodes.families.family`). Imports torch: only the bodies of nodes and of families import this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from weft.engine import InputError
from weft.nodes.models.latent_preview import Colours
from weft.nodes.sampling.scheduling import settled

if TYPE_CHECKING:
    from weft.nodes.families.family import Family

Conditions = dict[str, Tensor]
"""What a network is called with beside latents and timestep: tensors with one row for all items, or one for each."""

Residuals = tuple[list[Tensor], Tensor]
"""What ControlNets add to a UNet: one tensor for each skip connection, and one for the middle."""


class Denoiser(nn.Module):
    """A network that denoises, with its checkpoint's scheduler configuration.

    Args:
        family: which knows how the network is called.
        scheduler: the configuration of the diffusers scheduler that came with it.
        latent_channels: channels of the latents that it denoises.
        latent_factor: pixels to a latent element, along each side.
        colours: what its latents look like.
    """

    def __init__(
        self,
        family: Family,
        network: Any,
        scheduler: Mapping[str, Any],
        latent_channels: int,
        latent_factor: int,
        colours: Colours,
    ) -> None:
        super().__init__()
        self.family = family
        self.network = network
        self.scheduler = dict(scheduler)
        self.latent_channels = latent_channels
        self.latent_factor = latent_factor
        self.colours = colours

    @cached_property
    def dtype(self) -> torch.dtype:
        """What it computes in, as it was loaded; a network finds it among all its parameters, which takes a while."""
        return cast(torch.dtype, self.network.dtype)

    def trained(self, said: Mapping[str, str]) -> Denoiser:
        """This denoiser, of whose training something else is said than its configuration does.

        Args:
            said: `prediction_type` and `beta_schedule`, as diffusers' configurations have them.

        Raises:
            InputError: where that is no matter of a setting: for flows, consistency models and EDM's noise.
        """
        if settled(self.scheduler) & said.keys():
            hint = "leave `prediction` and `noise` out"
            raise InputError(f"how a model of {self.family.name} was trained is settled", hint)
        self.scheduler |= said
        if "beta_schedule" in said:
            self.scheduler["trained_betas"] = None
        return self


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


class Pixels(Autoencoder):
    """What stands for a VAE where a model paints pixels themselves: its latents are pixels in -1..1."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.scale, self.shift = 1.0, 0.0

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
