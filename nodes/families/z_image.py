"""The Z-Image family: Z-Image-Turbo, distilled to eight steps without guidance, and Z-Image (arXiv:2511.22699).

Qwen3 reads a prompt as a turn of a conversation. One transformer reads the tokens of picture and prompt in one
sequence; it counts time from noise (0) to picture (1), and predicts the velocity in that direction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from weft.nodes.families.family import Family
from weft.nodes.families.flows import PATCH, SpacedDenoiser
from weft.nodes.families.flux import FLUX_VAE, RGB_FACTORS
from weft.nodes.families.z_image_controls import ZImageControlNetFormat, layer_residuals, prompts_of
from weft.nodes.models.denoiser import Conditions, Residuals
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.original_modules import (
    Z_IMAGE_MODULES,
    OriginalModules,
    numbered,
    parted_shapes,
)
from weft.nodes.models.part_precisions import IN_BFLOAT16, all_parts
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import count
from weft.nodes.models.tensor_layouts import Config, TensorLayout
from weft.nodes.prompting.chat import Chat
from weft.nodes.prompting.language_model import QWEN3, LanguageModel
from weft.nodes.prompting.prompt_encoder import OneTextModel

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Latent, Prompt

CHAT = Chat("<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n", {"enable_thinking": True})
"""The conversation that a prompt is put into, where the tokenizer has no template of its own."""

ROPE_EIGHTHS = (2, 3, 3)
"""Eighths of an attention head's channels that encode the position in the sequence, the row and the column."""


class ZImageDenoiser(SpacedDenoiser):
    """Z-Image's transformer."""

    repeated_blocks = ("ZImageTransformerBlock",)

    dispatches_attention = True

    @classmethod
    def original_modules(cls, modules: Collection[str]) -> OriginalModules:
        return numbered(Z_IMAGE_MODULES, modules)

    @property
    def prompt_width(self) -> int:
        return int(self.network.config.cap_feat_dim)

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        masked = {} if prompt.attention_mask is None else {"attention_mask": prompt.attention_mask}
        return {"prompts": prompt.embeddings, **masked}

    def network_timestep(self, timestep: Tensor) -> Tensor:
        """The share of picture, 0 to 1."""
        return (1000 - timestep) / 1000

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The velocity from picture to noise; the network's own leads the other way. A picture has one frame."""
        import torch

        prompts = prompts_of(conditions)
        times = self.network_timestep(timestep).expand(len(sample))
        added = {"controlnet_block_samples": layer_residuals(residuals, sample, prompts)} if residuals else {}
        velocities = self.network(list(sample.unsqueeze(2)), times, prompts, return_dict=False, **added)[0]
        return -torch.stack(velocities).squeeze(2)


def z_image_config(shapes: Shapes) -> Config:
    """The configuration of a ZImageTransformer2DModel, from shapes of the original layout."""
    return _config(shapes, "x_embedder.weight", "k_norm", "out")


def diffusers_z_image_config(shapes: Shapes) -> Config:
    """The same, from shapes under diffusers' names."""
    return _config(shapes, "all_x_embedder.2-1.weight", "norm_k", "to_out.0")


def _config(shapes: Shapes, patches: str, norm: str, out: str) -> Config:
    width, patch = shapes[patches]
    (head,) = shapes[f"layers.0.attention.{norm}.weight"]
    return {
        "in_channels": patch // PATCH**2,
        "dim": width,
        "n_layers": count(shapes, f"layers.{{}}.attention.{out}.weight"),
        "n_refiner_layers": count(shapes, f"noise_refiner.{{}}.attention.{out}.weight"),
        "n_heads": width // head,
        "n_kv_heads": width // head,
        "cap_feat_dim": shapes["cap_embedder.0.weight"][0],
        "axes_dims": [head * eighths // 8 for eighths in ROPE_EIGHTHS],
        "axes_lens": [1536, 512, 512],
    }


def z_image_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The weights of the original layout under diffusers' names."""
    from diffusers.loaders import single_file_utils

    convert: Any = single_file_utils.convert_z_image_transformer_checkpoint_to_diffusers
    converted: dict[str, Tensor] = convert(found)
    return converted


Z_IMAGE_LAYOUTS = (
    TensorLayout("x_embedder.weight", z_image_config, z_image_weights, partial(parted_shapes, Z_IMAGE_MODULES)),
    TensorLayout("all_x_embedder.2-1.weight", diffusers_z_image_config),
)
"""The original layout, and diffusers' own."""


class ZImageFormat(NetworkFormat):
    """Z-Image's transformer."""

    class_name = "ZImageTransformer2DModel"
    layouts = Z_IMAGE_LAYOUTS

    def prompt_widths(self, config: Mapping[str, Any]) -> PromptWidths:
        return PromptWidths(config.get("cap_feat_dim", 0))


Z_IMAGE = Family(
    name="ZImage",
    native_side=1024,
    network=ZImageFormat(),
    denoiser=ZImageDenoiser,
    prompts=OneTextModel,
    latent_rgb_factors=RGB_FACTORS,  # its VAE is that of FLUX.1
    precisions=all_parts(IN_BFLOAT16, "Tongyi-MAI/Z-Image-Turbo"),
    texts=(LanguageModel("qwen3_4b", "text_encoder", (), architecture=QWEN3, chat=CHAT, states=(-2,)),),
    vae=FLUX_VAE,
    controls=(ZImageControlNetFormat(),),
    scheduler={"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0},
)
