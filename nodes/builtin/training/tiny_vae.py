"""`builtin:landscapes-tiny-vae`: a small autoencoder over the same latents, for previews while a picture is sampled."""

from dataclasses import dataclass

import torch
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from torch import Tensor, nn

from .autoencoder_stage import picture_loss
from .dataset import Dataset
from .loop import channels_last, device, generators

__all__ = ["PreviewStage", "new_tiny_autoencoder"]


def new_tiny_autoencoder() -> AutoencoderTiny:
    """An untrained tiny autoencoder whose latents are the UNet's own, at unit variance."""
    tiny: AutoencoderTiny = AutoencoderTiny(
        encoder_block_out_channels=(24, 24, 24, 24),
        decoder_block_out_channels=(24, 24, 24, 24),
        num_encoder_blocks=(1, 1, 1, 2),
        num_decoder_blocks=(3, 2, 1, 1),
        latent_channels=4,
        scaling_factor=1.0,
    )
    return tiny


@dataclass
class PreviewStage:
    """Decode the cached latents into their pictures, and encode pictures into their cached latents' means."""

    data: Dataset
    latents: Tensor
    seed: int
    batch: int = 8
    noise: float = 0.1
    name: str = "preview"

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.tiny = channels_last(new_tiny_autoencoder())
        self.modules = nn.ModuleDict({"tiny": self.tiny})

    def loss(self, step: int) -> Tensor:
        """The picture loss of decoding noisy latents, and the mean square error of encoding."""
        numbers, noise = generators(self.seed, step)
        rows = self.data.draw_rows(self.batch, numbers)
        pictures, latents = self.data.pictures(rows).to(device()), self.latents[rows, 0].float()
        noisy = latents + self.noise * torch.randn(latents.shape, generator=noise)
        with torch.autocast(device().type, torch.bfloat16):
            made = self.tiny.decode(noisy.to(device())).sample
            encoded = self.tiny.encode(pictures).latents
        decoding = picture_loss(made, pictures, self.data.weights(rows).to(device()))
        encoding: Tensor = (encoded.float() - latents.to(device())).square().mean()
        return decoding + 0.2 * encoding
