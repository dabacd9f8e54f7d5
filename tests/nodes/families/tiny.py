"""How the tiny checkpoints are made: few layers, 32 to 128 channels, 64 pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.nodes import layouts
from tests.nodes.conftest import SCHEDULER, tiny_tokenizer
from tests.nodes.layouts import Tensors
from tests.nodes.oracle import diffusers
from weft.nodes.tokenizer import clip_tokenizer

WIDTH = 64
"""Channels of every text model."""

LATENTS = 8
"""Latent elements along a side of 64 pixels."""

OPEN = {"hidden_act": "gelu"}
"""What tells OpenCLIP's text models from CLIP's."""

TURBO = {"timestep_spacing": "trailing"}

LINEAR: dict[str, Any] = {"use_linear_projection": True, "attention_head_dim": (1, 1)}


def text_model(kind: Any = CLIPTextModel, vocabulary: int = 0, layers: int = 2, **options: Any) -> Any:
    """A CLIP text model."""
    words = vocabulary or len(tiny_tokenizer())
    return kind(
        CLIPTextConfig(
            vocab_size=words,
            hidden_size=WIDTH,
            intermediate_size=WIDTH,
            num_hidden_layers=layers,
            num_attention_heads=1,
            projection_dim=WIDTH,
            bos_token_id=words - 2,
            eos_token_id=words - 1,
            **options,
        )
    )


def vae(**options: Any) -> Any:
    """A VAE of factor 8."""
    return diffusers.AutoencoderKL(
        **{
            "block_out_channels": (32, 32, 32, 32),
            "layers_per_block": 1,
            "latent_channels": 4,
            "down_block_types": ("DownEncoderBlock2D",) * 4,
            "up_block_types": ("UpDecoderBlock2D",) * 4,
            **options,
        }
    )


def unet(**options: Any) -> Any:
    """A UNet of two levels, with attention on the first."""
    return diffusers.UNet2DConditionModel(
        **{
            "block_out_channels": (32, 64),
            "layers_per_block": 1,
            "cross_attention_dim": WIDTH,
            "sample_size": LATENTS,
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            **options,
        }
    )


def stable_diffusion(noise: Any, tokenizer: Any = None, text: Mapping[str, Any] | None = None, **options: Any) -> Any:
    """A pipeline of SD 1.x or 2.x; `options` are the UNet's."""
    words = tokenizer or tiny_tokenizer()
    return diffusers.StableDiffusionPipeline(
        vae=vae(),
        text_encoder=text_model(vocabulary=len(words), **(text or {})),
        tokenizer=words,
        unet=unet(**options),
        scheduler=noise,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def scheduler(name: str, **options: Any) -> Any:
    """A scheduler over the noise that Stable Diffusion was trained under."""
    return getattr(diffusers, name).from_config({**SCHEDULER, "clip_sample": False, **options})


def sdxl(
    noise: Any = None,
    tokenizers: tuple[Any, Any] | None = None,
    *,
    refiner: bool = False,
    **options: Any,
) -> Any:
    """A pipeline of SDXL, base or refiner; `options` are the UNet's."""
    first, second = tokenizers or (tiny_tokenizer(), tiny_tokenizer())
    kind = diffusers.StableDiffusionXLImg2ImgPipeline if refiner else diffusers.StableDiffusionXLPipeline
    numbers = 5 if refiner else 6
    deep = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": numbers * 256 + WIDTH,
        "cross_attention_dim": WIDTH if refiner else 2 * WIDTH,
    }
    return kind(
        vae=vae(scaling_factor=0.13025),
        text_encoder=None if refiner else text_model(vocabulary=len(first)),
        tokenizer=None if refiner else first,
        text_encoder_2=text_model(CLIPTextModelWithProjection, len(second), 3, **OPEN),
        tokenizer_2=second,
        unet=unet(**LINEAR, **{**deep, **options}),
        scheduler=noise or scheduler("EulerDiscreteScheduler", timestep_spacing="leading"),
        force_zeros_for_empty_prompt=not refiner,
        **({"requires_aesthetics_score": True} if refiner else {}),
    )


PIPELINES: dict[str, Callable[[], Any]] = {
    "sd2": lambda: stable_diffusion(
        scheduler("DDIMScheduler", prediction_type="v_prediction"), clip_tokenizer(padding="!"), OPEN, **LINEAR
    ),
    "sd-turbo": lambda: stable_diffusion(scheduler("EulerDiscreteScheduler", **TURBO), text=OPEN, **LINEAR),
    "sdxl": lambda: sdxl(tokenizers=(clip_tokenizer(), clip_tokenizer(padding="!"))),
    "sdxl-refiner": lambda: sdxl(refiner=True),
    "sdxl-turbo": lambda: sdxl(scheduler("EulerAncestralDiscreteScheduler", **TURBO)),
    "inpaint": lambda: stable_diffusion(scheduler("PNDMScheduler"), in_channels=9),
    "sd2-inpaint": lambda: stable_diffusion(scheduler("DDIMScheduler"), text=OPEN, in_channels=9, **LINEAR),
    "sdxl-inpaint": lambda: sdxl(in_channels=9),
    "edit": lambda: stable_diffusion(scheduler("EulerAncestralDiscreteScheduler"), in_channels=8),
    "sdxl-lcm": lambda: sdxl(scheduler("LCMScheduler"), time_cond_proj_dim=32),
}
"""A pipeline of each kind, by the name of its folder."""


def sd2_file(folder: Path) -> Tensors:
    """An SD 2.x folder as one file; OpenCLIP's last layer, which nothing reads, is there too."""
    text = layouts.open_clip(layouts.weights(folder, "text_encoder"), "cond_stage_model.model.")
    last = {
        name.replace("resblocks.1.", "resblocks.2."): one.clone() for name, one in text.items() if "blocks.1." in name
    }
    return {**unet_and_vae(folder, layouts.UNET), **text, **last}


def sdxl_file(folder: Path) -> Tensors:
    """An SDXL folder as one file."""
    return {
        **unet_and_vae(folder, layouts.DEEP_UNET),
        **layouts.text_weights(folder, "text_encoder", "conditioner.embedders.0.transformer.text_model."),
        **layouts.open_clip(layouts.weights(folder, "text_encoder_2"), "conditioner.embedders.1.model."),
    }


def unet_and_vae(folder: Path, rules: layouts.Rules) -> Tensors:
    named = layouts.renamed(layouts.weights(folder, "unet"), rules, "model.diffusion_model.")
    return {**named, **layouts.vae(folder)}


SINGLE_FILES: dict[str, Callable[[Path], Tensors]] = {"sd2": sd2_file, "sdxl": sdxl_file}
"""How each folder becomes one file in the original layout."""
