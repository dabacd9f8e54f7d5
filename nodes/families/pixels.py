"""What the families share that paint pixels themselves by a UNet, without a VAE and without a text model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft.engine import Resolved
from weft.nodes.families.class_labels import NoPrompts
from weft.nodes.families.family import Family
from weft.nodes.models.contents import Contents
from weft.nodes.models.denoiser import Conditions, Denoiser
from weft.nodes.models.diffusers_folder import read_config
from weft.nodes.models.latent_preview import Colours
from weft.nodes.prompting.prompt_encoder import PromptEncoder

if TYPE_CHECKING:
    import torch

    from weft.nodes.values import Latent, Prompt


class PixelDenoiser(Denoiser):
    """A UNet over pixels, which reads no prompt."""

    @property
    def prompt_width(self) -> int:
        return 0

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        return {}

    def guidance_conditions(self, scale: float) -> Conditions:
        """None, and no guidance from outside: there is no prompt to guide by."""
        return {}


class PixelFamily(Family):
    """A family of UNet2DModels over pixels in -1..1; a checkpoint is a diffusers folder."""

    prompts: type[PromptEncoder] = NoPrompts
    denoiser_class = PixelDenoiser
    colours = Colours(((0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.5)))

    def recognises(self, contents: Contents) -> bool:
        """Whether this is a UNet over pixels with its scheduler, and neither a VAE nor a text encoder."""
        alone = contents.has("unet", "scheduler") and not (contents.has("vae") or contents.has("text_encoder"))
        return alone and contents.class_of("unet") == "UNet2DModel"

    def denoiser(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> Denoiser:
        """The UNet with the checkpoint's scheduler configuration."""
        from diffusers import UNet2DModel

        from weft.nodes.models.loading import pretrained, ready

        unet = pretrained(UNet2DModel, source.root / "unet", variant, torch_dtype=dtype)
        scheduler = read_config(source.root / "scheduler" / "scheduler_config.json")
        channels = unet.config.in_channels
        return self.denoiser_class(self.name, ready(unet, device), scheduler, channels, 1, self.colours)
