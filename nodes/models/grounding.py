"""GLIGEN: objects at places of the picture, read by gated self-attention (https://arxiv.org/abs/2301.07093).

A UNet that was trained for it has a network that embeds the box and the phrase of each object. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.image_prompt_values import Grounding
    from weft.nodes.models.denoiser import Conditions

BOXES, FEATURES, MASKS = GROUNDING = ("grounding_boxes", "grounding_features", "grounding_masks")
"""The conditions of a denoiser by which it reads objects at places."""

MOST_OBJECTS = 30
"""The objects that a network reads; where there are fewer, learned vectors stand in their place."""


def grounds_phrases(config: Mapping[str, Any]) -> bool:
    """Whether a UNet of this configuration reads boxes with phrases."""
    return config.get("attention_type") == "gated"


def grounding_conditions(grounding: Grounding | None) -> Conditions:
    """The inputs for a prompt's objects, one row an item; none for a prompt without objects."""
    if grounding is None:
        return {}
    mask = grounding.boxes.new_ones(grounding.boxes.shape[:2]) * (not grounding.blank)
    return {BOXES: padded(grounding.boxes), FEATURES: padded(grounding.features), MASKS: padded(mask)}


def padded(objects: Tensor) -> Tensor:
    """A tensor `[item, object, ...]` with zeros for as many objects as a network reads."""
    items, count, *rest = objects.shape
    whole = objects.new_zeros((items, MOST_OBJECTS, *rest))
    whole[:, :count] = objects
    return whole


def grounding_arguments(conditions: Mapping[str, Tensor]) -> dict[str, Any]:
    """Conditions of a UNet as diffusers' class takes them: those of objects are one argument."""
    given: dict[str, Any] = {name: one for name, one in conditions.items() if name not in GROUNDING}
    if BOXES in conditions:
        objects = {"boxes": BOXES, "positive_embeddings": FEATURES, "masks": MASKS}
        given["cross_attention_kwargs"] = {"gligen": {name: conditions[own] for name, own in objects.items()}}
    return given
