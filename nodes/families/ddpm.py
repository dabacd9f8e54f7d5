"""The DDPM family: unconditional models of pixels (https://arxiv.org/abs/2006.11239)."""

from __future__ import annotations

from weft.nodes.families.pixels import PixelFamily
from weft.nodes.models.contents import Contents
from weft.nodes.sampling.samplers import OWN_ONLY


class DenoisingDiffusion(PixelFamily):
    """The family as `weft.nodes.families` asks it."""

    name = "DDPM"

    def recognises(self, contents: Contents) -> bool:
        unconditional = contents.configs.get("unet", {}).get("num_class_embeds") is None
        return super().recognises(contents) and unconditional and contents.class_of("scheduler") not in OWN_ONLY


DDPM = DenoisingDiffusion()
