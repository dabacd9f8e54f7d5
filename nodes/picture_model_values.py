"""The values of models that make pictures of pictures without sampling: recipes, as those of `weft.nodes.values`."""

from __future__ import annotations

from dataclasses import dataclass

from weft.engine import value
from weft.nodes.image_prompt_values import ImageWeights


@value
@dataclass(frozen=True, repr=False)
class Upscaler(ImageWeights):
    """A network that enlarges pictures."""
