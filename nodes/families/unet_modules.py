"""UNets as denoisers, and CLIP's text models as what reads prompts. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from weft.nodes.modules import Conditions, Denoiser, Encoded, Encoder, Residuals


class UNetDenoiser(Denoiser):
    """A UNet, which may see more than its latents, and may have been distilled with guidance."""

    def scale_conditions(self, scale: float) -> Conditions | None:
        channels = self.network.config.time_cond_proj_dim
        return {"timestep_cond": embedded_scale(scale, channels)} if channels is not None else None

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        given = dict(conditions)
        seen = torch.cat([sample, given.pop("beside")], dim=1) if "beside" in given else sample
        down, middle = residuals or (None, None)
        prediction: Tensor = self.network(
            seen,
            timestep,
            **self.arguments(given),
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
        return prediction


def embedded_scale(scale: float, channels: int) -> Tensor:
    """The scale of guidance embedded `[1, channel]`, for a network that was distilled to take it.

    The sinusoidal embedding of 1000 (scale - 1) of "On Distillation of Guided Diffusion Models" (Meng et al., 2023), as
    latent consistency models are trained with.
    """
    half = channels // 2
    frequencies = torch.exp(torch.arange(half) * -(torch.log(torch.tensor(10_000.0)) / (half - 1)))
    angles = 1000.0 * (scale - 1) * frequencies
    return nn.functional.pad(torch.cat([angles.sin(), angles.cos()]), (0, channels % 2))[None]


class ClipEncoder(Encoder):
    """A CLIP text model with its tokenizer."""

    def __init__(self, text_model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.text_model = text_model
        self.tokenizer = tokenizer

    def encode(self, texts: Sequence[str]) -> Encoded:
        """What the model's last layer says of some texts, each padded to 77 tokens and cut there."""
        return Encoded(self.read(texts)[0].float().cpu())

    def read(self, texts: Sequence[str], **options: Any) -> Any:
        """All that the model gives for some texts, each padded to the tokenizer's length (77 tokens) and cut to it."""
        length = self.tokenizer.model_max_length
        tokens = self.tokenizer(
            list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).to(self.text_model.device)
        masked = getattr(self.text_model.config, "use_attention_mask", False)
        mask = tokens.attention_mask if masked else None
        return self.text_model(tokens.input_ids, attention_mask=mask, **options)
