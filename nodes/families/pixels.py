"""What the families share that paint pixels themselves by a UNet, without a VAE and without a text model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weft.nodes.models.denoiser import Conditions, Denoiser
from weft.nodes.models.denoiser_facts import SizeLimits
from weft.nodes.models.latent_preview import LatentRGBFactors
from weft.nodes.models.network_format import NetworkFormat

if TYPE_CHECKING:
    from weft.nodes.values import Latent, Prompt


LEVELS = (224, 448, 672, 896)
"""Channels of the levels of UNets whose configuration has none: diffusers' own."""


class PixelDenoiser(Denoiser):
    """A UNet over pixels, which reads no prompt."""

    @property
    def prompt_width(self) -> int:
        return 0

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        return {}

    @classmethod
    def size_limits(cls, config: Mapping[str, Any]) -> SizeLimits:
        """Each level but the last halves the sides, and diffusers' class meets them again on the way up."""
        return SizeLimits(2 ** (len(config.get("block_out_channels", LEVELS)) - 1))

    @classmethod
    def guided(cls, config: Mapping[str, Any]) -> bool:
        return False

    def guidance_conditions(self, scale: float) -> Conditions:
        """None, and no guidance from outside: there is no prompt to guide by."""
        return {}


class PixelFormat(NetworkFormat):
    """UNets over pixels in -1..1, in colour or grey; a checkpoint is a diffusers folder."""

    class_name = "UNet2DModel"
    folder = "unet"

    def fits(self, config: Mapping[str, Any]) -> bool:
        return config.get("in_channels", 3) in (1, 3)

    def unsupported(self, config: Mapping[str, Any]) -> str:
        """A class's number as an index alone is supported, which `class_embed_type` does not name."""
        return "an embedded class" if config.get("class_embed_type") in ("timestep", "identity") else ""

    def latent_channels(self, config: Mapping[str, Any]) -> int:
        return int(config.get("in_channels", 3))


RGB_FACTORS = LatentRGBFactors(((0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.5)))
"""The map from pixels in -1..1 to colours in 0..1: half of each channel."""
