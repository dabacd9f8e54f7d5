"""The pictures' latents, encoded once and cached: what the denoiser is trained on and the decoder is finished on."""

from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

from .dataset import Dataset
from .loop import device

__all__ = ["encode_dataset"]


def encode_dataset(vae: AutoencoderKL, data: Dataset, file: Path) -> Tensor:
    """Mean and deviation of each picture's latent at unit variance, float16 `[count, 2, 4, 16, 16]`.

    Read from `file` where it is there. Sets the scaling factor of `vae`.
    """
    if not file.exists():
        torch.save(_encode(vae, data), file)
    cached: dict[str, Tensor] = torch.load(file, weights_only=True)
    vae.register_to_config(scaling_factor=float(cached["scaling_factor"]))  # type: ignore[no-untyped-call]
    return cached["latents"]


@torch.no_grad()
def _encode(vae: AutoencoderKL, data: Dataset) -> dict[str, Tensor]:
    parts = []
    for rows in np.array_split(np.arange(len(data.scenes)), max(1, len(data.scenes) // 50)):
        with torch.autocast(device().type, torch.bfloat16):
            moments = vae.encode(data.pictures(rows).to(device())).latent_dist
        parts.append(torch.stack([moments.mean.float().cpu(), moments.std.float().cpu()], dim=1))
    latents = torch.cat(parts)
    scale = 1 / (latents[:, 0].var() + latents[:, 1].square().mean()).sqrt()
    return {"latents": (latents * scale).half(), "scaling_factor": scale}
