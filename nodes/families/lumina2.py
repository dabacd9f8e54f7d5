"""The Lumina family: Lumina-Image 2.0 (https://arxiv.org/abs/2503.21758).

Gemma 2 reads a prompt behind a system message; a negative prompt goes without. One transformer reads the tokens of
prompt and picture in one sequence; it counts time from noise (0) to picture (1), and predicts the velocity in that
direction. Guided predictions are brought back to the length of the positive one, row by row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weft.nodes.families.family import Family
from weft.nodes.families.flows import PATCH, SpacedDenoiser
from weft.nodes.families.flux import FLUX_VAE, RGB_FACTORS
from weft.nodes.models.denoiser import Conditions, Residuals
from weft.nodes.models.denoiser_facts import SizeLimits
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.part_precisions import IN_BFLOAT16, all_parts
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import count
from weft.nodes.models.tensor_layouts import Config, TensorLayout
from weft.nodes.prompting.chat import Chat
from weft.nodes.prompting.instructed_prompts import InstructedPrompts, side_of
from weft.nodes.prompting.language_model import GEMMA2, LanguageModel

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Latent, Prompt

LONGEST = 256
"""Tokens of the system message and the prompt that the transformer reads."""


class Lumina2Prompts(InstructedPrompts):
    """Gemma's tokens behind the system message."""

    instruction = (
        "You are an assistant designed to generate superior images with the superior degree of image-text alignment "
        "based on textual prompts or user prompts. <Prompt Start> "
    )


class Lumina2Denoiser(SpacedDenoiser):
    """Lumina's transformer."""

    repeated_blocks = ("Lumina2TransformerBlock",)

    @classmethod
    def size_limits(cls, config: Mapping[str, Any]) -> SizeLimits:
        patch = int(config.get("patch_size", PATCH))
        return SizeLimits(patch, patch * min(config.get("axes_lens", (300, 512, 512))[1:]))

    @property
    def prompt_width(self) -> int:
        return int(self.network.config.cap_feat_dim)

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        embeddings, mask = side_of(prompt, negative)
        return {"encoder_hidden_states": embeddings, "encoder_attention_mask": mask.long()}

    def network_timestep(self, timestep: Tensor) -> Tensor:
        """The share of picture, 0 to 1."""
        return 1 - timestep / 1000

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The velocity from picture to noise; the network's own leads the other way."""
        return -super().predict(sample, timestep, conditions)

    def normalised(self, guided: Tensor, positive: Tensor) -> Tensor:
        """Each row as long as it is in the positive prediction, as diffusers' `cfg_normalization` has it."""
        wanted, found = (one.norm(dim=-1, keepdim=True) for one in (positive, guided))
        same_length: Tensor = guided * (wanted / found)
        return same_length


RULES = (
    (r"^t_embedder\.mlp\.0\.", "time_caption_embed.timestep_embedder.linear_1."),
    (r"^t_embedder\.mlp\.2\.", "time_caption_embed.timestep_embedder.linear_2."),
    (r"^cap_embedder\.", "time_caption_embed.caption_embedder."),
    (r"^final_layer\.adaLN_modulation\.1\.", "norm_out.linear_1."),
    (r"^final_layer\.linear\.", "norm_out.linear_2."),
    (r"\.attention\.out\.", ".attn.to_out.0."),
    (r"\.attention\.([qk])_norm\.", r".attn.norm_\1."),
    (r"\.feed_forward\.w([123])\.", r".feed_forward.linear_\1."),
    (r"^(context_refiner\.\d+)\.attention_norm([12])\.", r"\1.norm\2."),
    (r"\.attention_norm1\.", ".norm1.norm."),
    (r"\.attention_norm2\.", ".norm2."),
    (r"\.adaLN_modulation\.1\.", ".norm1.linear."),
)
"""Names of the original layout, and diffusers' in their place, in the order in which they are replaced."""


def lumina2_config(shapes: Shapes) -> Config:
    """The configuration of a Lumina2Transformer2DModel, from shapes of the original layout."""
    rows, width = shapes["layers.0.attention.qkv.weight"]
    (head,) = shapes["layers.0.attention.q_norm.weight"]
    if rows == 3 * width:
        raise ValueError("Z-Image's, which has as many heads of keys as of queries")
    return _config(
        shapes,
        (rows - width) // 2 // head,
        head,
        "layers.{}.attention.out.weight",
        "noise_refiner.{}.attention.out.weight",
        "cap_embedder.0.weight",
        "layers.0.feed_forward.w1.weight",
    )


def diffusers_lumina2_config(shapes: Shapes) -> Config:
    """The same, from shapes under diffusers' names."""
    (head,) = shapes["layers.0.attn.norm_q.weight"]
    return _config(
        shapes,
        shapes["layers.0.attn.to_k.weight"][0] // head,
        head,
        "layers.{}.attn.to_out.0.weight",
        "noise_refiner.{}.attn.to_out.0.weight",
        "time_caption_embed.caption_embedder.0.weight",
        "layers.0.feed_forward.linear_1.weight",
    )


def _config(shapes: Shapes, keys: int, head: int, block: str, refiner: str, caption: str, inner: str) -> Config:
    width, patch = shapes["x_embedder.weight"]
    return {
        "in_channels": patch // PATCH**2,
        "hidden_size": width,
        "num_layers": count(shapes, block),
        "num_refiner_layers": count(shapes, refiner),
        "num_attention_heads": width // head,
        "num_kv_heads": keys,
        "axes_dim_rope": (head // 3,) * 3,
        "axes_lens": (300, 512, 512),
        "cap_feat_dim": shapes[caption][0],
        "multiple_of": shapes[inner][0],  # the layers between are four times as wide, rounded up to a multiple of this
    }


def lumina2_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The weights of the original layout under diffusers' names; a norm that nothing uses is left out."""
    import torch

    head = config["hidden_size"] // config["num_attention_heads"]
    rows = [config["hidden_size"], *[config["num_kv_heads"] * head] * 2]
    named: dict[str, Tensor] = {}
    for name, tensor in found.items():
        if name.endswith(".attention.qkv.weight"):
            block = name.removesuffix(".attention.qkv.weight")
            parts = zip("qkv", torch.split(tensor, rows), strict=True)
            named |= {f"{block}.attn.to_{part}.weight": one for part, one in parts}
        elif name != "norm_final.weight":
            for pattern, replacement in RULES:
                name = re.sub(pattern, replacement, name)
            named[name] = tensor
    return named


class Lumina2Format(NetworkFormat):
    """Lumina's transformer."""

    class_name = "Lumina2Transformer2DModel"
    layouts = (
        TensorLayout("layers.0.attention.qkv.weight", lumina2_config, lumina2_weights),
        TensorLayout("time_caption_embed.caption_embedder.0.weight", diffusers_lumina2_config),
    )

    def prompt_widths(self, config: Mapping[str, Any]) -> PromptWidths:
        return PromptWidths(config.get("cap_feat_dim", 2304))


LUMINA2 = Family(
    name="Lumina2",
    native_side=1024,
    network=Lumina2Format(),
    denoiser=Lumina2Denoiser,
    prompts=Lumina2Prompts,
    latent_rgb_factors=RGB_FACTORS,  # its VAE is that of FLUX.1
    precisions=all_parts(IN_BFLOAT16, "Alpha-VLLM/Lumina-Image-2.0"),
    texts=(
        LanguageModel(
            *("gemma_2_2b", "text_encoder", ()),
            architecture=GEMMA2,
            chat=Chat("{}"),
            states=(-2,),
            longest=LONGEST,
        ),
    ),
    vae=FLUX_VAE,
    scheduler={"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 6.0},
)
