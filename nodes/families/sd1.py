"""The SD 1.x family: Stable Diffusion 1.1 to 1.5, and what was trained from them or like them.

A checkpoint is a diffusers folder, or one safetensors file in the original layout, which carries no configuration: what
its shapes do not tell is the same for the whole family and stands here. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weft.engine import Resolved
from weft.nodes import original_layout as original
from weft.nodes.families.base import Contents
from weft.nodes.folders import read_config
from weft.nodes.headers import read_shapes
from weft.nodes.preview import Colours, colours_of

if TYPE_CHECKING:
    import torch

    from weft.nodes.modules import Autoencoder, Denoiser, Encoder

LATENT_CHANNELS = 4

SD2_WIDTH = 1024
"""The width of the prompts that SD 2.x reads, by which it is told from SD 1.x."""

SCHEDULER: Mapping[str, Any] = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "clip_sample": False,
}
"""The noise schedule that the family was trained with; a single file carries none."""

HEADS = {"attention_head_dim": 8}
"""Eight attention heads on every level; diffusers' name for their number is a historical slip."""

SCALE = {"scaling_factor": 0.18215}

COLOURS = Colours(
    ((0.149, 0.1035, 0.104), (0.0935, 0.143, 0.0865), (-0.079, 0.0945, 0.132), (-0.092, -0.1355, -0.2365))
)
"""What latents look like: the factors that Kevin Turner fitted to version 1.4 (Hugging Face forum, 2022), for 0..1."""


class StableDiffusion1:
    """The family as `weft.nodes.families` asks it."""

    name = "SD1"
    colours = COLOURS

    def recognises(self, contents: Contents) -> bool:
        """Whether this is a whole SD 1.x checkpoint: a UNet over four channels, an autoencoder, one CLIP text model."""
        if contents.shapes:
            first = contents.shapes.get(f"{original.UNET}input_blocks.0.0.weight", (0, 0))
            others = (f"{original.VAE}decoder.conv_in.weight", f"{original.TEXT}embeddings.token_embedding.weight")
            return first[1] == LATENT_CHANNELS and all(name in contents.shapes for name in others)
        unet, text = (contents.configs.get(part, {}) for part in ("unet", "text_encoder"))
        return (
            contents.configs.keys() >= {"unet", "vae", "text_encoder", "scheduler"}
            and "text_encoder_2" not in contents.configs
            and unet.get("in_channels") == LATENT_CHANNELS
            and unet.get("cross_attention_dim") == text.get("hidden_size") != SD2_WIDTH
        )

    def recognises_control(self, contents: Contents) -> bool:
        """Whether this is a ControlNet for an SD 1.x UNet."""
        if contents.shapes:
            key = f"{original.CONTROL}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
            return contents.shapes.get(key, (0, SD2_WIDTH))[1] != SD2_WIDTH
        config = contents.configs.get("", {})
        return (
            config.get("_class_name") == "ControlNetModel"
            and config.get("addition_embed_type") is None
            and config.get("cross_attention_dim") != SD2_WIDTH
        )

    def denoiser(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> Denoiser:
        """The UNet with the checkpoint's scheduler configuration."""
        from diffusers import UNet2DConditionModel

        from weft.nodes.modules import Denoiser, assembled, pretrained, ready

        if source.root.is_dir():
            unet = pretrained(UNet2DConditionModel, source.root / "unet", variant, torch_dtype=dtype)
            scheduler = read_config(source.root / "scheduler" / "scheduler_config.json")
            vae = read_config(source.root / "vae" / "config.json")
        else:
            shapes = read_shapes(source.root)
            config = original.unet_config(original.below(original.UNET, shapes)) | HEADS
            unet = assembled(UNet2DConditionModel, config, original.unet_weights(source.root, config), dtype)
            scheduler = SCHEDULER
            vae = original.vae_config(original.below(original.VAE, shapes))
        factor = 2 ** (len(vae["block_out_channels"]) - 1)
        colours = colours_of(source.root, COLOURS)
        return ready(Denoiser(unet, scheduler, LATENT_CHANNELS, factor, colours), device)

    def encoder(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> Encoder:
        """CLIP's text model, with the checkpoint's own tokenizer where it has one, else CLIP's."""
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

        from weft.nodes.modules import Encoder, assembled_text, pretrained, ready
        from weft.nodes.tokenizer import clip_tokenizer

        if source.root.is_dir():
            model = pretrained(CLIPTextModel, source.root / "text_encoder", variant, dtype=dtype)
        else:
            shapes = original.below(original.TEXT, read_shapes(source.root))
            config = CLIPTextConfig(**original.text_config(shapes))
            model = assembled_text(CLIPTextModel, config, original.text_weights(source.root), dtype)
        own = source.root / "tokenizer"
        tokenizer = CLIPTokenizer.from_pretrained(own, local_files_only=True) if own.is_dir() else clip_tokenizer()
        return ready(Encoder(model, tokenizer), device)

    def autoencoder(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> Autoencoder:
        """The VAE."""
        from diffusers import AutoencoderKL

        from weft.nodes.modules import Autoencoder, assembled, pretrained, ready

        if source.root.is_dir():
            vae = pretrained(AutoencoderKL, source.root / "vae", variant, torch_dtype=dtype)
        else:
            config = original.vae_config(original.below(original.VAE, read_shapes(source.root))) | SCALE
            vae = assembled(AutoencoderKL, config, original.vae_weights(source.root, config), dtype)
        return ready(Autoencoder(vae), device)

    def control_net(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> torch.nn.Module:
        """A ControlNet."""
        from diffusers import ControlNetModel

        from weft.nodes.modules import assembled, pretrained, ready

        if source.root.is_dir():
            net: torch.nn.Module = pretrained(ControlNetModel, source.root, variant, torch_dtype=dtype)
        else:
            config = original.control_config(original.below(original.CONTROL, read_shapes(source.root))) | HEADS
            net = assembled(ControlNetModel, config, original.control_weights(source.root, config), dtype)
        return ready(net, device)


SD1 = StableDiffusion1()
