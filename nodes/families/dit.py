"""The DiT family: transformers over the latents of a VAE, of a class of ImageNet (https://arxiv.org/abs/2212.09748).

A prompt is the name or the number of a class, and the empty prompt is no class, which guidance leads away from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.nodes.families.class_labels import ClassPrompts, class_count
from weft.nodes.families.family import Family
from weft.nodes.families.unets import LATENT_CHANNELS, RGB_FACTORS
from weft.nodes.models.denoiser import Conditions, Denoiser, Residuals
from weft.nodes.models.denoiser_facts import SizeLimits
from weft.nodes.models.diffusers_folder import read_config
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.part_precisions import IN_FLOAT16, all_parts
from weft.nodes.models.vae_formats import VAESpec

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Latent, Prompt


class DiTPrompts(ClassPrompts):
    """The names of ImageNet's classes, as a checkpoint lists them."""

    @classmethod
    def settings(cls, root: Path) -> Mapping[str, Any]:
        labels: Mapping[str, str] = read_config(root / "model_index.json").get("id2label", {})
        return {"classes": class_count(root, "transformer", "num_embeds_ada_norm"), "names": _names(labels)}


class DiTDenoiser(Denoiser):
    """A transformer that reads the number of a class."""

    repeated_blocks = ("BasicTransformerBlock",)

    @classmethod
    def size_limits(cls, config: Mapping[str, Any]) -> SizeLimits:
        return SizeLimits(int(config.get("patch_size", 2)), square=True)

    @property
    def prompt_width(self) -> int:
        return 1

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        return {"class_labels": prompt.embeddings[:, 0, 0].long()}

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The noise; a network that predicts its variance too does so in further channels, which are left out."""
        return super().predict(sample, timestep, conditions)[:, : self.latent_channels]


class DiTFormat(NetworkFormat):
    """DiT's transformer."""

    class_name = "DiTTransformer2DModel"
    aliases = ("Transformer2DModel",)


def _names(labels: Mapping[str, str]) -> dict[str, int]:
    """The number of each name; the names of a class stand in one text, with commas between them."""
    return {name.strip(): int(number) for number, names in labels.items() for name in names.split(",")}


DIT = Family(
    name="DiT",
    network=DiTFormat(),
    denoiser=DiTDenoiser,
    prompts=DiTPrompts,
    latent_rgb_factors=RGB_FACTORS,
    precisions=all_parts(IN_FLOAT16, "facebook/DiT-XL-2-256"),
    vae=VAESpec(LATENT_CHANNELS, config={"scaling_factor": 0.18215}, shifts=False),
)
