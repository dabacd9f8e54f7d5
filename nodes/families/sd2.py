"""The SD 2.x family: Stable Diffusion 2.0 and 2.1, with their inpainting models, and SD-Turbo, distilled from 2.1.

Their text encoder is OpenCLIP's ViT-H without its last layer, and the larger ones predict v.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.nodes.families.unets import COLOURS, FIRST, LATENT_CHANNELS, SCHEDULER, SEEN_CHANNELS, UNetFamily
from weft.nodes.models import single_file as original
from weft.nodes.models.contents import Contents
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.clip import Clip

WIDTH = 1024
"""The width of the prompts that it reads."""


class StableDiffusion2(UNetFamily):
    """The family as `weft.nodes.families` asks it."""

    name = "SD2"
    colours = COLOURS
    vae = VAESpec(LATENT_CHANNELS, config={"scaling_factor": 0.18215})
    scheduler: Mapping[str, Any] = {**SCHEDULER, "_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}
    texts = (Clip("clip_h", "text_encoder", (original.OPEN_TEXT,), activation="gelu", padding="!", unread=1),)

    def recognises(self, contents: Contents) -> bool:
        """Whether this is a whole SD 2.x checkpoint: a UNet, an autoencoder, OpenCLIP's text model."""
        if contents.shapes:
            others = (f"{original.VAE}decoder.conv_in.weight", f"{original.OPEN_TEXT}token_embedding.weight")
            return contents.shapes.get(FIRST, (0, 0))[1] in SEEN_CHANNELS and contents.holds(*others)
        return (
            contents.has("unet", "vae", "text_encoder", "scheduler")
            and not contents.has("text_encoder_2")
            and contents.configs["unet"].get("in_channels") in SEEN_CHANNELS
            and self.is_unet(contents.configs["unet"])
        )

    def is_unet(self, config: Mapping[str, Any]) -> bool:
        linear = config.get("use_linear_projection") or config.get("cross_attention_dim") == WIDTH
        return bool(linear) and config.get("addition_embed_type") is None


SD2 = StableDiffusion2()
