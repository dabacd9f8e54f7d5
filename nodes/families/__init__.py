"""The families of models that this library knows, one file each. Importing this package imports no torch."""

from __future__ import annotations

from weft.nodes.families.consistency import CM
from weft.nodes.families.ddpm import DDPM
from weft.nodes.families.dit import DIT
from weft.nodes.families.family import Family
from weft.nodes.families.flux import FLUX
from weft.nodes.families.sd1 import SD1
from weft.nodes.families.sd2 import SD2
from weft.nodes.families.sd3 import SD3
from weft.nodes.families.sdxl import SDXL
from weft.nodes.models.contents import Contents
from weft.nodes.models.facts import TextModelFacts

__all__ = [
    "FAMILIES",
    "Family",
    "family",
    "of_checkpoint",
    "of_control_net",
    "of_denoiser",
    "of_text_model",
    "of_vae",
]

FAMILIES: tuple[Family, ...] = (SD1, SD2, SDXL, SD3, FLUX, DIT, DDPM, CM)


def family(name: str) -> Family:
    """The family of this name."""
    return next(known for known in FAMILIES if known.name == name)


def of_checkpoint(contents: Contents) -> Family | None:
    """The family whose checkpoint this is."""
    return next((known for known in FAMILIES if known.recognises(contents)), None)


def of_denoiser(contents: Contents) -> Family | None:
    """The family whose denoiser this is, alone."""
    return next((known for known in FAMILIES if known.recognises_denoiser(contents)), None)


def of_vae(contents: Contents) -> tuple[Family, ...]:
    """The families whose latents a VAE alone may make: by their channels, and by their scale where it is said."""
    config = contents.configs.get("", {}) if contents.class_of("") == "AutoencoderKL" else {}
    single = contents.shapes if "decoder.mid.block_1.norm1.weight" in contents.shapes else {}
    channels = config.get("latent_channels") or single.get("decoder.conv_in.weight", (0, 0))[1]
    fitting = tuple(known for known in FAMILIES if channels and known.vae_channels == channels)
    scaled = tuple(known for known in fitting if known.scale.get("scaling_factor") == config.get("scaling_factor"))
    return scaled or fitting


def of_control_net(contents: Contents) -> Family | None:
    """The family whose ControlNet this is."""
    return next((known for known in FAMILIES if known.recognises_control(contents)), None)


def of_text_model(contents: Contents) -> TextModelFacts | None:
    """The facts about a text model alone, of any kind that a family reads prompts with; None where it is none."""
    texts = (text for known in FAMILIES for text in known.texts)
    return next((facts for text in texts if (facts := text.alone(contents))), None)
