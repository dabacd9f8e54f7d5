"""Checkpoints of full size with random weights in diffusers' form: SD 1.5, SDXL and FLUX.1; tiny ones to try out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from tests.gpu.card import Place
from tests.nodes.families.tiny import PIPELINES, flow, t5_tokenizer
from tests.nodes.oracle import diffusers
from weft.nodes.prompting.clip_tokenizer import clip_tokenizer

NOISE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}

SIDES = {"sd15": 512, "sdxl": 1024, "flux": 1024}

PRECISIONS = {"sd15": "float16", "sdxl": "float16", "flux": "bfloat16"}

TINY = {"sd15": "sd2", "sdxl": "sdxl", "flux": "flux-dev"}
"""The tiny checkpoint that stands for each, and its side."""

UNETS: Mapping[str, Mapping[str, Any]] = {
    "sd15": {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    "sdxl": {
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}

FLUX: dict[str, Any] = {
    "in_channels": 64,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
}

VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}

CLIP_L: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}

CLIP_G: dict[str, Any] = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}

T5_XXL: dict[str, Any] = {"d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_heads": 64, "num_layers": 24}


def checkpoint(place: Place, name: str) -> str:
    """The name of a checkpoint in the place's folder, where it is made if it is not there yet."""
    root = place.folder / name
    if not (root / "model_index.json").exists():
        torch.manual_seed(0)
        if place.tiny:
            pipeline = PIPELINES[TINY[name]]().to(torch.float16)
        else:
            with _made_on(place.card.device if place.card.is_gpu else "cpu", PRECISIONS[name]):
                pipeline = _MADE[name]()
        pipeline.save_pretrained(root)
    return name


def side_of(place: Place, name: str) -> int:
    """The side of pictures of a checkpoint."""
    return 64 if place.tiny else SIDES[name]


@contextmanager
def _made_on(device: str, precision: str) -> Iterator[None]:
    """Modules that are made while the block runs are there, in this precision."""
    torch.set_default_dtype(getattr(torch, precision))
    try:
        with torch.device(device) if device != "cpu" else nullcontext():
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def _clip(kind: Any = CLIPTextModel, **sizes: Any) -> Any:
    words = len(clip_tokenizer())
    ends = {"bos_token_id": words - 2, "eos_token_id": words - 1}
    given: dict[str, Any] = {"projection_dim": 768, **sizes, **ends, "vocab_size": words}
    return kind(CLIPTextConfig(**given))


def _sd15() -> Any:
    return diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(**VAE, latent_channels=4),
        text_encoder=_clip(**CLIP_L),
        tokenizer=clip_tokenizer(),
        unet=diffusers.UNet2DConditionModel(**UNETS["sd15"]),
        scheduler=diffusers.EulerDiscreteScheduler(**NOISE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sdxl() -> Any:
    return diffusers.StableDiffusionXLPipeline(
        vae=diffusers.AutoencoderKL(**VAE, latent_channels=4, scaling_factor=0.13025, force_upcast=True),
        text_encoder=_clip(**CLIP_L),
        text_encoder_2=_clip(CLIPTextModelWithProjection, **CLIP_G),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(padding="!"),
        unet=diffusers.UNet2DConditionModel(**UNETS["sdxl"]),
        scheduler=diffusers.EulerDiscreteScheduler(**NOISE, timestep_spacing="leading"),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def _flux() -> Any:
    sixteen = {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
    words = t5_tokenizer()
    return diffusers.FluxPipeline(
        vae=diffusers.AutoencoderKL(**VAE, **sixteen, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=_clip(**CLIP_L),
        tokenizer=clip_tokenizer(),
        text_encoder_2=T5EncoderModel(T5Config(vocab_size=32128, feed_forward_proj="gated-gelu", **T5_XXL)),
        tokenizer_2=words,
        transformer=diffusers.FluxTransformer2DModel(**FLUX),
        scheduler=flow(use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15),
    )


_MADE: Mapping[str, Callable[[], Any]] = {"sd15": _sd15, "sdxl": _sdxl, "flux": _flux}
