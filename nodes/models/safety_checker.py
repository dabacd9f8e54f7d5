"""Stable Diffusion's own safety checker, from its pipelines' folders. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.nodes.models.contents import Contents
from weft.nodes.models.network_calls import network_call

if TYPE_CHECKING:
    import PIL.Image
    import torch
    from torch import Tensor

SAFETY_CHECKER, FEATURE_EXTRACTOR = "safety_checker", "feature_extractor"
"""Its component in a pipeline's folder, and that of what prepares pictures for it."""

ARCHITECTURE = "StableDiffusionSafetyChecker"

CLOSER = 0.01
"""By how much a picture counts as closer to all concepts where it is close to a special one."""


@dataclass(frozen=True)
class SafetyCheckerFacts:
    """What the folder says.

    Args:
        folder: its component in the folder of a pipeline; empty where the folder is its own.
        config: as transformers' class takes it.
    """

    folder: str
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    labels: tuple[str, ...] = ("nsfw",)


def safety_checker_facts(contents: Contents) -> SafetyCheckerFacts | None:
    """What a folder says of a safety checker, its own or a pipeline's; None where there is none."""
    for folder in ("", SAFETY_CHECKER):
        config = contents.configs.get(folder, {})
        if ARCHITECTURE in (config.get("architectures") or ()):
            return SafetyCheckerFacts(folder, config)
    return None


class SafetyChecker:
    """The checker with what prepares pictures for it; it has the methods of `TaskModel` that judge pictures.

    Args:
        network: diffusers' model, on its device.
        processor: transformers' image processor.
    """

    labels = ("nsfw",)

    def __init__(self, network: Any, processor: Any) -> None:
        self.network = network
        self.processor = processor

    @property
    def networks(self) -> tuple[Any, ...]:
        """The modules whose weights the residency counts."""
        return (self.network,)

    def shares(self, picture: PIL.Image.Image) -> Tensor:
        """One number `[1]`: 0.5 and how much closer the picture is to a concept than its threshold, in 0..1.

        So it is above 0.5 where diffusers' pipelines hold the picture back.
        """
        import torch

        given = self.processor(images=picture, return_tensors="pt")["pixel_values"]
        network = self.network
        levels = given.to(network.concept_embeds.device, network.concept_embeds.dtype)
        with network_call(ARCHITECTURE, {"picture": levels}):
            vector = network.visual_projection(network.vision_model(levels)[1])
            special = _margins(vector, network.special_care_embeds, network.special_care_embeds_weights, 0.0)
            closer = CLOSER if bool((special > 0).any()) else 0.0
            margins = _margins(vector, network.concept_embeds, network.concept_embeds_weights, closer)
        return torch.clamp(0.5 + margins.max().reshape(1).float().cpu(), 0, 1)


def _margins(vector: Tensor, concepts: Tensor, thresholds: Tensor, closer: float) -> Tensor:
    """How much closer a vector is to each concept than its threshold, rounded as diffusers does it."""
    from torch.nn import functional

    cosines = functional.normalize(vector) @ functional.normalize(concepts).T
    return (cosines[0].float() - thresholds.float() + closer).round(decimals=3)


def load_safety_checker(
    facts: SafetyCheckerFacts, root: Path, variant: str, dtype: torch.dtype, device: str
) -> SafetyChecker:
    """The checker of a folder.

    Raises:
        InputError: where files are damaged, or weights are missing.
    """
    import transformers
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    from weft.nodes.models.loading import own_config, pretrained, ready

    kind: Any = StableDiffusionSafetyChecker
    folder = root / facts.folder
    config = kind.config_class.from_dict(own_config(facts.config))
    network = pretrained(kind, folder, variant, dtype=dtype, config=config)
    kinds: Any = transformers.AutoImageProcessor
    prepares = root / FEATURE_EXTRACTOR if facts.folder else folder
    processor = kinds.from_pretrained(prepares, backend="pil", local_files_only=True)
    return SafetyChecker(ready(network, device), processor)
