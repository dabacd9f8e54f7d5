"""The family of consistency models: pixels in one step or a few, of a class or of none.

They predict the picture itself, but for a share of what they see (https://arxiv.org/abs/2303.01469); only the sampler
`model` takes that apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weft.nodes.families.class_labels import numbers
from weft.nodes.families.pixels import PixelFamily
from weft.nodes.models.contents import Contents
from weft.nodes.prompting.prompts import PLAIN, Reading
from weft.nodes.sampling.samplers import OWN_ONLY

if TYPE_CHECKING:
    from weft.nodes.models.networks import Conditions, Denoiser
    from weft.nodes.prompting.prompt_encoder import Encoded, Encoder
    from weft.nodes.values import Latent, Prompt


class Consistency(PixelFamily):
    """The family as `weft.nodes.families` asks it."""

    name = "CM"

    def recognises(self, contents: Contents) -> bool:
        return super().recognises(contents) and contents.class_of("scheduler") in OWN_ONLY

    def prompt_width(self, model: Denoiser) -> int:
        return 0 if model.network.config.num_class_embeds is None else 1

    def conditions(self, model: Denoiser, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        """The number of the class, where the model has classes."""
        return {"class_labels": prompt.embeddings[:, 0, 0].long()} if self.prompt_width(model) else {}

    def encode(self, encoder: Encoder, texts: Sequence[str], reading: Reading = PLAIN) -> Encoded:
        count = encoder.config["classes"]
        return super().encode(encoder, texts, reading) if count is None else numbers(texts, count, {})

    def unprompted(self, encoder: Encoder) -> Encoded:
        """The first class: no such model is asked for a negative prompt."""
        return self.encode(encoder, [""] if encoder.config["classes"] is None else ["0"])


CM = Consistency()
