"""The Chroma family: FLUX.1 schnell made smaller and led by negative prompts again (lodestones, 2025).

T5 reads a prompt. One small network makes what modulates all blocks from the timestep. Attention has a mask over the
prompt and the token that follows it; diffusers adds it to the scores as 1 and 0, and so does this.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from weft.nodes.families.family import Family
from weft.nodes.families.flows import PATCH, T5_PREFIX, JointFormat, SpacedDenoiser, packed, places, unpacked
from weft.nodes.families.flux import FLUX_SCHEDULER, FLUX_VAE, RGB_FACTORS
from weft.nodes.models.denoiser import Conditions, Residuals
from weft.nodes.models.original_modules import FLUX_MODULES, OriginalModules, numbered, parted_shapes
from weft.nodes.models.part_precisions import IN_BFLOAT16, all_parts
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import count
from weft.nodes.models.single_file_transformers import flux_names
from weft.nodes.models.tensor_layouts import Config, TensorLayout
from weft.nodes.prompting.prompt_encoder import OneTextModel
from weft.nodes.prompting.t5 import T5

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Latent, Prompt

GUIDANCE = "distilled_guidance_layer."
"""What the names of the network that modulates all blocks begin with."""

RULES = (
    (r"\.in_layer\.", ".linear_1."),
    (r"\.out_layer\.", ".linear_2."),
    (r"(\.norms\.\d+)\.scale", r"\1.weight"),
)
"""Its names in the original layout, and diffusers' in their place."""


class ChromaDenoiser(SpacedDenoiser):
    """Chroma's transformer."""

    repeated_blocks = ("ChromaTransformerBlock", "ChromaSingleTransformerBlock")

    dispatches_attention = True

    @classmethod
    def original_modules(cls, modules: Collection[str]) -> OriginalModules:
        return numbered(FLUX_MODULES, modules)

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        given: Conditions = {"encoder_hidden_states": prompt.embeddings}
        if prompt.attention_mask is not None:
            import torch

            # The token after the prompt is read too.
            read = torch.nn.functional.pad(prompt.attention_mask.float(), (1, 0), value=1.0)
            given["attention_mask"] = read[:, :-1]
        return given

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The transformer reads a row of patches, each numbered by its row and column in the picture."""
        import torch

        given, tokens = dict(conditions), packed(sample)
        if "attention_mask" in given:
            given["attention_mask"] = torch.nn.functional.pad(given["attention_mask"], (0, tokens.shape[1]), value=1.0)
        rows, _, height, width = sample.shape
        numbers = places(height // PATCH, width // PATCH, sample)
        velocity: Tensor = self.network(
            hidden_states=tokens,
            timestep=self.network_timestep(timestep).expand(rows).to(sample.dtype),
            img_ids=numbers,
            txt_ids=numbers.new_zeros(given["encoder_hidden_states"].shape[1], 3),
            **given,
            return_dict=False,
        )[0]
        return unpacked(velocity, sample.shape)


def chroma_config(shapes: Shapes) -> Config:
    """The configuration of a ChromaTransformer2DModel, from shapes of the original layout."""
    names = ("img_in", "txt_in", "double_blocks.{}.img_attn.qkv.weight", "single_blocks.{}.linear1.weight")
    return _config(shapes, names, "double_blocks.0.img_attn.norm.query_norm.scale", "in_layer")


def diffusers_chroma_config(shapes: Shapes) -> Config:
    """The same, from shapes under diffusers' names."""
    blocks = ("transformer_blocks.{}.attn.to_q.weight", "single_transformer_blocks.{}.attn.to_q.weight")
    return _config(
        shapes, ("x_embedder", "context_embedder", *blocks), "transformer_blocks.0.attn.norm_q.weight", "linear_1"
    )


def _config(shapes: Shapes, names: tuple[str, str, str, str], norm: str, layer: str) -> Config:
    """The configuration by what tensors are called.

    Args:
        names: of what picture and words go through, and of each kind of block.
        norm: of a head.
        layer: of the network that modulates all blocks.
    """
    picture, words, double, single = names
    width, channels = shapes[f"{picture}.weight"]
    hidden, seen = shapes[f"{GUIDANCE}in_proj.weight"]
    head = shapes[norm][0]
    return {
        "in_channels": channels,
        "num_layers": count(shapes, double),
        "num_single_layers": count(shapes, single),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shapes[f"{words}.weight"][1],
        "axes_dims_rope": (head // 8, head * 7 // 16, head * 7 // 16),
        "approximator_num_channels": seen,
        "approximator_hidden_dim": hidden,
        "approximator_layers": count(shapes, f"{GUIDANCE}layers.{{}}.{layer}.weight"),
    }


def chroma_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The weights of the original layout under diffusers' names."""
    named: dict[str, Tensor] = {}
    for name, tensor in flux_names(found).items():
        for pattern, replacement in RULES if name.startswith(GUIDANCE) else ():
            name = re.sub(pattern, replacement, name)
        named[name] = tensor
    return named


class ChromaFormat(JointFormat):
    """Chroma's transformer."""

    class_name = "ChromaTransformer2DModel"
    layouts = (
        TensorLayout(
            f"{GUIDANCE}layers.0.in_layer.weight", chroma_config, chroma_weights, partial(parted_shapes, FLUX_MODULES)
        ),
        TensorLayout(f"{GUIDANCE}layers.0.linear_1.weight", diffusers_chroma_config),
    )

    def latent_channels(self, config: Mapping[str, Any]) -> int:
        return int(config.get("in_channels", 64)) // PATCH**2


CHROMA = Family(
    name="Chroma",
    native_side=1024,
    network=ChromaFormat(),
    denoiser=ChromaDenoiser,
    prompts=OneTextModel,
    latent_rgb_factors=RGB_FACTORS,  # its VAE is that of FLUX.1
    precisions=all_parts(IN_BFLOAT16, "lodestones/Chroma1-HD"),
    texts=(T5("t5xxl", "text_encoder", (T5_PREFIX,), masked=True),),
    vae=FLUX_VAE,
    scheduler=FLUX_SCHEDULER,
)
