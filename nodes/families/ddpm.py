"""The DDPM family: unconditional models of pixels (https://arxiv.org/abs/2006.11239)."""

from __future__ import annotations

from weft.nodes.families.pixels import PixelFamily
from weft.nodes.models.contents import Contents
from weft.nodes.models.parametrisation import Consistency


class DenoisingDiffusion(PixelFamily):
    """The family as `weft.nodes.families` asks it."""

    name = "DDPM"

    def recognises(self, contents: Contents) -> bool:
        if not super().recognises(contents) or Consistency.of(contents.configs["scheduler"]):
            return False
        return contents.configs["unet"].get("num_class_embeds") is None


DDPM = DenoisingDiffusion()
