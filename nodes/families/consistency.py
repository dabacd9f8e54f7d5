"""The family of consistency models: pixels in one step or a few, of a class or of none.

They predict the picture itself, but for a share of what they see (https://arxiv.org/abs/2303.01469); only the sampler
`model` takes that apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.nodes.families.class_labels import ClassPrompts, NoPrompts, class_count
from weft.nodes.families.family import Family
from weft.nodes.families.pixels import RGB_FACTORS, PixelDenoiser, PixelFormat
from weft.nodes.models.contents import Contents
from weft.nodes.models.denoiser import Conditions
from weft.nodes.models.parametrisation import Consistency
from weft.nodes.models.part_precisions import IN_FLOAT16, all_parts
from weft.nodes.prompting.prompts import PLAIN, Reading
from weft.nodes.prompting.text_reader import Encoded

if TYPE_CHECKING:
    from weft.nodes.values import Latent, Prompt


class ConsistencyPrompts(ClassPrompts):
    """The number of a class, or nothing where the model has no classes."""

    @classmethod
    def settings(cls, root: Path) -> Mapping[str, Any]:
        return {"classes": class_count(root, "unet", "num_class_embeds")}

    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        if self.config["classes"] is None:
            return NoPrompts().combined(texts, reading)
        return super().combined(texts, reading)

    def without_prompt(self) -> Encoded:
        """The first class, where there are classes: the network always takes one, and guidance is not used."""
        return self.combined(["" if self.config["classes"] is None else "0"], PLAIN)

    def empty_class(self) -> None:
        """The empty text names no class."""


class ConsistencyDenoiser(PixelDenoiser):
    """A UNet over pixels, which reads the number of a class where it has classes."""

    @property
    def prompt_width(self) -> int:
        return 0 if self.network.config.num_class_embeds is None else 1

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        return {"class_labels": prompt.embeddings[:, 0, 0].long()} if self.prompt_width else {}


def is_consistency_model(contents: Contents) -> bool:
    """Whether a checkpoint's scheduler is of consistency models."""
    return Consistency.of(contents.configs["scheduler"]) is not None


CM = Family(
    name="CM",
    network=PixelFormat(),
    denoiser=ConsistencyDenoiser,
    prompts=ConsistencyPrompts,
    latent_rgb_factors=RGB_FACTORS,
    precisions=all_parts(IN_FLOAT16, "openai/diffusers-cd_imagenet64_l2"),
    condition=is_consistency_model,
)
