"""The autoencoder's stages: encoder and decoder together, then the decoder alone on noisy latents."""

from dataclasses import dataclass

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from .dataset import Dataset
from .group_norm import faster_group_norm
from .loop import channels_last, device, generators

__all__ = ["AutoencoderStage", "DecoderStage", "new_autoencoder", "picture_loss"]


def new_autoencoder() -> AutoencoderKL:
    """An untrained autoencoder: factor 8, four latent channels, 1.6 million parameters."""
    autoencoder: AutoencoderKL = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=128,
    )
    return autoencoder


def picture_loss(made: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """L1, half as much L1 of the gradients, and half of MSE, for pictures in -1..1 `[batch, 3, height, width]`.

    `weights` `[batch, 1, height, width]` says how much each pixel counts.
    """
    off = made.float() - wanted
    down = (off.diff(dim=2).abs() * weights[:, :, 1:]).mean()
    across = (off.diff(dim=3).abs() * weights[:, :, :, 1:]).mean()
    return (off.abs() * weights).mean() + 0.5 * (down + across) + 0.5 * (off.square() * weights).mean()


@dataclass
class AutoencoderStage:
    """Encoder and decoder on crops of 64 pixels for the first `crops` steps, then on whole pictures."""

    data: Dataset
    seed: int
    crops: int
    batch: int = 4
    kl_weight: float = 2e-3
    name: str = "autoencoder"

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.model = channels_last(new_autoencoder())
        faster_group_norm(self.model)
        self.modules = nn.ModuleDict({"vae": self.model})

    def loss(self, step: int) -> Tensor:
        """Picture loss and KL divergence of one batch; a batch of crops has as many pixels as one of pictures."""
        numbers, noise = generators(self.seed, step)
        cropped = step < self.crops
        rows = self.data.draw_rows(self.batch * 4 if cropped else self.batch, numbers)
        whole = torch.cat([self.data.pictures(rows), self.data.weights(rows)], dim=1)
        whole = (_crop(whole, 64, numbers) if cropped else whole).to(device())
        pictures, weights = whole[:, :3].contiguous(memory_format=torch.channels_last), whole[:, 3:]
        with torch.autocast(device().type, torch.bfloat16):
            moments = self.model.encode(pictures).latent_dist
            drawn = torch.randn(moments.mean.shape, generator=noise).to(device())
            made = self.model.decode(moments.mean + moments.std * drawn).sample
        return picture_loss(made, pictures, weights) + self.kl_weight * _kl(
            moments.mean.float(), moments.logvar.float()
        )


@dataclass
class DecoderStage:
    """The decoder alone, the encoder frozen: latents have a little noise added, as after a sampler."""

    data: Dataset
    latents: Tensor
    vae: AutoencoderKL
    seed: int
    batch: int = 4
    noise: float = 0.08
    name: str = "decoder"

    def __post_init__(self) -> None:
        assert self.vae.post_quant_conv is not None
        parts = {"post_quant_conv": self.vae.post_quant_conv, "decoder": self.vae.decoder}
        self.modules = channels_last(nn.ModuleDict(parts))
        faster_group_norm(self.modules)

    def loss(self, step: int) -> Tensor:
        """Picture loss of one batch of cached latents `[count, 4, 16, 16]` of unit variance."""
        numbers, noise = generators(self.seed, step)
        rows = self.data.draw_rows(self.batch, numbers)
        pictures = self.data.pictures(rows).to(device())
        latents = self.latents[rows]
        latents = latents + self.noise * torch.rand(self.batch, 1, 1, 1, generator=noise) * torch.randn(
            latents.shape, generator=noise
        )
        with torch.autocast(device().type, torch.bfloat16):
            made = self.vae.decode(latents.to(device()) / self.vae.config["scaling_factor"]).sample
        return picture_loss(made, pictures, self.data.weights(rows).to(device()))


def _crop(pictures: Tensor, size: int, generator: np.random.Generator) -> Tensor:
    """One square of each picture, at random on the grid of 8 pixels that the factor makes."""
    corners = generator.integers((pictures.shape[2] - size) // 8 + 1, size=(len(pictures), 2)) * 8
    crops = [picture[:, y : y + size, x : x + size] for picture, (y, x) in zip(pictures, corners, strict=True)]
    return torch.stack(crops).contiguous(memory_format=torch.channels_last)


def _kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence of the posterior from the standard normal, in nats a latent value."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
