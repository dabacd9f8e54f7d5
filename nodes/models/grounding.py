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

BOXES, FEATURES, MASKS = ("grounding_boxes", "grounding_features", "grounding_masks")
PHRASED, PICTURES, PICTURED = ("grounding_phrased", "grounding_pictures", "grounding_pictured")
GROUNDING = (BOXES, FEATURES, MASKS, PHRASED, PICTURES, PICTURED)
"""The conditions of a denoiser by which it reads objects at places."""

WITH_PHRASES, WITH_PICTURES = "gated", "gated-text-image"
"""What configurations call the attention of networks that read phrases, and of those that read pictures too."""

MOST_OBJECTS = 30
"""The objects that a network reads; where there are fewer, learned vectors stand in their place."""


def grounds_phrases(config: Mapping[str, Any]) -> bool:
    """Whether a UNet of this configuration reads boxes with phrases."""
    return config.get("attention_type") in (WITH_PHRASES, WITH_PICTURES)


def grounds_pictures(config: Mapping[str, Any]) -> bool:
    """Whether a UNet of this configuration reads boxes with pictures."""
    return config.get("attention_type") == WITH_PICTURES


def grounding_conditions(grounding: Grounding | None) -> Conditions:
    """The inputs for a prompt's objects, one row an item; none for a prompt without objects."""
    if grounding is None:
        return {}
    mask = grounding.boxes.new_ones(grounding.boxes.shape[:2]) * (not grounding.blank)
    given = {BOXES: grounding.boxes, FEATURES: grounding.features, MASKS: mask}
    if grounding.phrased is not None:
        given[PHRASED] = grounding.phrased * mask
    if grounding.pictures is not None and grounding.pictured is not None:
        given |= {PICTURES: grounding.pictures, PICTURED: grounding.pictured * mask}
    return {name: padded(one) for name, one in given.items()}


def padded(objects: Tensor) -> Tensor:
    """A tensor `[item, object, ...]` with zeros for as many objects as a network reads."""
    items, count, *rest = objects.shape
    whole = objects.new_zeros((items, MOST_OBJECTS, *rest))
    whole[:, :count] = objects
    return whole


def grounding_arguments(conditions: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions of a UNet as diffusers' class takes them: those of objects are one argument.

    Args:
        config: of the UNet.
    """
    given: dict[str, Any] = {name: one for name, one in conditions.items() if name not in GROUNDING}
    if BOXES in conditions:
        objects = {"boxes": conditions[BOXES], "masks": conditions[MASKS]}
        own = _of_pictures(conditions) if grounds_pictures(config) else {"positive_embeddings": conditions[FEATURES]}
        given["cross_attention_kwargs"] = {"gligen": {**objects, **own}}
    return given


def _of_pictures(conditions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a network that reads pictures too takes of objects; zeros for those without one."""
    features, masks = conditions[FEATURES], conditions[MASKS]
    return {
        "phrases_embeddings": features,
        "phrases_masks": conditions.get(PHRASED, masks),
        "image_embeddings": conditions.get(PICTURES, features * 0),
        "image_masks": conditions.get(PICTURED, masks * 0),
    }
