"""The families of models that this library knows, one file each. Importing this package imports no torch."""

from __future__ import annotations

from dataclasses import replace

from weft.nodes.families.consistency import CM
from weft.nodes.families.ddpm import DDPM
from weft.nodes.families.dit import DIT
from weft.nodes.families.family import Family
from weft.nodes.families.flux import FLUX
from weft.nodes.families.qwen_image import QWEN_IMAGE
from weft.nodes.families.sd1 import SD1
from weft.nodes.families.sd2 import SD2
from weft.nodes.families.sd3 import SD3
from weft.nodes.families.sdxl import SDXL
from weft.nodes.families.z_image import Z_IMAGE
from weft.nodes.models.contents import Contents
from weft.nodes.models.facts import CheckpointFacts, ControlNetFacts, TextModelFacts, VAEFacts
from weft.nodes.models.recognition import recognised
from weft.nodes.models.vae_formats import vae_facts

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

FAMILIES: tuple[Family, ...] = (SD1, SD2, SDXL, SD3, FLUX, Z_IMAGE, QWEN_IMAGE, DIT, DDPM, CM)


def family(name: str) -> Family:
    """The family of this name."""
    return next(known for known in FAMILIES if known.name == name)


def of_checkpoint(contents: Contents) -> CheckpointFacts | None:
    """What headers say of a whole checkpoint, of the first family that recognises it; None where none does."""
    return next((facts for known in FAMILIES if (facts := recognised(known.whole, contents))), None)


def of_denoiser(contents: Contents) -> CheckpointFacts | None:
    """What headers say of a denoiser alone; None where no family recognises it."""
    return next((facts for known in FAMILIES if (facts := recognised(known.alone, contents))), None)


def of_vae(contents: Contents) -> VAEFacts | None:
    """What headers say of a VAE alone, with the families whose latents it may make; None where there is none.

    They follow from the kind of VAE, its channels, and its scale where the configuration has it.
    """
    facts = recognised(vae_facts, contents)
    if facts is None:
        return None
    specs = {known.name: known.vae for known in FAMILIES if known.vae is not None and known.vae.takes(facts)}
    given = facts.config.get("scaling_factor")
    scaled = tuple(name for name, spec in specs.items() if spec.config.get("scaling_factor") == given)
    return replace(facts, families=scaled or tuple(specs), contents=contents) if specs else None


def of_control_net(contents: Contents) -> ControlNetFacts | None:
    """What headers say of a ControlNet; None where no family recognises it."""
    return next((facts for known in FAMILIES if (facts := recognised(known.control, contents))), None)


def of_text_model(contents: Contents) -> TextModelFacts | None:
    """The facts about a standalone text encoder of any family; None where it is none."""
    texts = (text for known in FAMILIES for text in known.texts)
    return next((facts for text in texts if (facts := recognised(text.alone, contents))), None)
