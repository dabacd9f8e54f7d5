"""The SD 1.x family: Stable Diffusion 1.1 to 1.5, and what was trained from them or like them.

Inpainting and InstructPix2Pix checkpoints are of the family too: their UNets see more beside the same latents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.nodes.families.unets import COLOURS, FIRST, LATENT_CHANNELS, SEEN_CHANNELS, UNetFamily
from weft.nodes.models import single_file as original
from weft.nodes.models.contents import Contents
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.clip import Clip

SD2_WIDTH = 1024
"""The width of the prompts that SD 2.x reads, by which it is told from SD 1.x."""


class StableDiffusion1(UNetFamily):
    """The family as `weft.nodes.families` asks it."""

    name = "SD1"
    colours = COLOURS
    vae = VAESpec(LATENT_CHANNELS, config={"scaling_factor": 0.18215})
    texts = (Clip("clip_l", "text_encoder", (original.TEXT,)),)

    def recognises(self, contents: Contents) -> bool:
        """Whether this is a whole SD 1.x checkpoint: a UNet, an autoencoder, one CLIP text model."""
        if contents.shapes:
            others = (f"{original.VAE}decoder.conv_in.weight", f"{original.TEXT}embeddings.token_embedding.weight")
            return contents.shapes.get(FIRST, (0, 0))[1] in SEEN_CHANNELS and contents.holds(*others)
        unet, text = (contents.configs.get(part, {}) for part in ("unet", "text_encoder"))
        return (
            contents.has("unet", "vae", "text_encoder", "scheduler")
            and not contents.has("text_encoder_2")
            and unet.get("in_channels") in SEEN_CHANNELS
            and unet.get("cross_attention_dim") == text.get("hidden_size")
            and self.is_unet(unet)
        )

    def is_unet(self, config: Mapping[str, Any]) -> bool:
        return (
            config.get("addition_embed_type") is None
            and not config.get("use_linear_projection")
            and config.get("cross_attention_dim") != SD2_WIDTH
        )

    def heads(self, widths: Sequence[int]) -> int:
        return 8


SD1 = StableDiffusion1()
