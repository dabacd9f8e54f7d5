"""The SDXL family: base, refiner, inpainting, SDXL-Turbo, and what was distilled or trained from them.

Two CLIP text models encode a prompt; the UNet takes its pooled vector and the sizes of the picture too. The refiner has
the second text model alone, and takes an aesthetic score in place of the target's size. It is of the same family, since
it continues from the base model's latents (SDXL, https://arxiv.org/abs/2307.01952).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.families.family import Family
from weft.nodes.families.t2i_adapters import FULL_XL, T2IAdapterFormat
from weft.nodes.families.unet_controls import UNetControlNetFormat, UNetControlNetUnionFormat
from weft.nodes.families.unets import (
    LATENT_CHANNELS,
    SCHEDULER,
    UNetDenoiser,
    UNetFormat,
    heads_of_64,
)
from weft.nodes.models.denoiser import Conditions
from weft.nodes.models.diffusers_folder import read_config
from weft.nodes.models.latent_preview import LatentRGBFactors
from weft.nodes.models.part_precisions import IN_FLOAT16, all_parts
from weft.nodes.models.training_marks import latent_statistics, trained_as_marked
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.clip import Clip
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.prompts import PLAIN, Reading
from weft.nodes.prompting.text_reader import Encoded

if TYPE_CHECKING:
    from weft.nodes.values import Latent, Prompt

CLIP = ("conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.0.transformer.")
OPEN_CLIP = ("conditioner.embedders.1.model.", "conditioner.embedders.0.model.")
"""Where OpenCLIP's text model is in a single file: after CLIP's, or alone, in the refiner's."""

SCORE, NEGATIVE_SCORE = 6.0, 2.5
"""The aesthetic scores that the refiner reads with the positive and with the negative prompt, as in diffusers."""

RGB_FACTORS = LatentRGBFactors(
    ((0.235, 0.235, 0.235), (-0.235, -0.02, 0.039), (0.098, 0.059, -0.02), (-0.275, -0.196, -0.137)),
    (0.588, 0.549, 0.51),
    published="taesdxl",
)
"""What latents look like: the map of Timothy Alexis Vass (Explaining the SDXL latent space, 2024), for 0..1."""


class SDXLPrompts(PromptEncoder):
    """The hidden states before the last of all text models, joined by channel, and the last one's pooled projection."""

    @classmethod
    def settings(cls, root: Path) -> Mapping[str, Any]:
        """Whether zeros stand for a negative prompt that is not given, where a folder says so."""
        index = read_config(root / "model_index.json") if root.is_dir() else {}
        return {"zeroed": index.get("force_zeros_for_empty_prompt")}

    @classmethod
    def pooled_width(cls, channels: Mapping[str, int]) -> int:
        return channels.get("clip_g", 0)

    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        import torch

        encoded = self.read(texts, reading, layer=-2)
        return Encoded(torch.cat([one.embeddings for one in encoded], dim=-1), pooled=encoded[-1].pooled)

    def without_prompt(self) -> Encoded:
        """Zeros where the checkpoint says so; by default for the base model, not for the refiner (one text model)."""
        import torch

        empty = self.combined([""], PLAIN)
        zeroed = self.config.get("zeroed")
        if empty.pooled is None or not (len(self.readers) > 1 if zeroed is None else zeroed):
            return empty
        return Encoded(torch.zeros_like(empty.embeddings), pooled=torch.zeros_like(empty.pooled))


class SDXLDenoiser(UNetDenoiser):
    """SDXL's UNet, which reads a pooled prompt and size conditions besides the prompt (SDXL, section 2.2)."""

    aligned_steps = "StableDiffusionXL"
    takes_size_conditions = True

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        """The prompt, its pooled embedding, and sizes in pixels: original height and width, crop top and left, target.

        The refiner reads an aesthetic score in place of the target's height and width. Which of both it is follows
        from the width of the UNet's embedding of these numbers.
        """
        import torch

        if prompt.pooled is None:
            raise InputError(
                "the prompt has no pooled embedding, which SDXL needs",
                "encode it with SDXL's text encoder",
                "wrong-prompt",
            )
        size = (latent.height, latent.width)
        config = self.network.config
        size_width = config.projection_class_embeddings_input_dim - prompt.pooled.shape[-1]
        takes_target = size_width == 6 * config.addition_time_embed_dim
        last = size if takes_target else (NEGATIVE_SCORE if negative else SCORE,)
        sizes = torch.tensor([[*(prompt.framing or (*size, 0, 0)), *last]], dtype=torch.float32)
        return {"encoder_hidden_states": prompt.embeddings, "text_embeds": prompt.pooled, "time_ids": sizes}

    def arguments(self, conditions: Conditions) -> dict[str, Any]:
        given: dict[str, Any] = dict(conditions)
        added = {name: given.pop(name) for name in ("text_embeds", "time_ids")}
        return {**given, "added_cond_kwargs": added}


def is_sdxl(config: Mapping[str, Any]) -> bool:
    """Whether a UNet or a ControlNet of this configuration is the family's."""
    return config.get("addition_embed_type") == "text_time"


SDXL = Family(
    name="SDXL",
    native_side=1024,
    network=UNetFormat(is_sdxl, heads_of_64),
    denoiser=SDXLDenoiser,
    prompts=SDXLPrompts,
    latent_rgb_factors=RGB_FACTORS,
    precisions=all_parts(IN_FLOAT16, "stabilityai/stable-diffusion-xl-base-1.0"),
    texts=(
        Clip("clip_l", "text_encoder", CLIP, optional=True),
        Clip("clip_g", "text_encoder_2", OPEN_CLIP, projects=True, activation="gelu", padding="!"),
    ),
    vae=VAESpec(
        LATENT_CHANNELS,
        config={"scaling_factor": 0.13025},
        stated=latent_statistics,
        upcasts=True,
        shifts=False,
        normalises=True,
    ),
    scheduler={**SCHEDULER, "_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading"},
    trained=trained_as_marked,
    controls=(
        UNetControlNetUnionFormat(is_sdxl, heads_of_64),
        UNetControlNetFormat(is_sdxl, heads_of_64),
        T2IAdapterFormat({FULL_XL}),
    ),
)
