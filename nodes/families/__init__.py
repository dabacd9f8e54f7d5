"""The families of models that this library knows, one file each. Importing this package imports no torch."""

from __future__ import annotations

from weft.nodes.families.base import Contents, Family
from weft.nodes.families.consistency import CM
from weft.nodes.families.ddpm import DDPM
from weft.nodes.families.dit import DIT
from weft.nodes.families.flux import FLUX
from weft.nodes.families.sd1 import SD1
from weft.nodes.families.sd2 import SD2
from weft.nodes.families.sd3 import SD3
from weft.nodes.families.sdxl import SDXL

__all__ = ["FAMILIES", "Contents", "Family", "family", "of_checkpoint", "of_control_net"]

FAMILIES: tuple[Family, ...] = (SD1, SD2, SDXL, SD3, FLUX, DIT, DDPM, CM)


def family(name: str) -> Family:
    """The family of this name."""
    return next(known for known in FAMILIES if known.name == name)


def of_checkpoint(contents: Contents) -> Family | None:
    """The family whose checkpoint this is."""
    return next((known for known in FAMILIES if known.recognises(contents)), None)


def of_control_net(contents: Contents) -> Family | None:
    """The family whose ControlNet this is."""
    return next((known for known in FAMILIES if known.recognises_control(contents)), None)
