"""Objects at places of the picture, for GLIGEN models: GroundPrompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from weft.engine import INJECTED, Context, InputError, Limits, NodeProblem, Range, node
from weft.nodes.image_prompt_values import Grounding
from weft.nodes.library.image_prompts import Pictured
from weft.nodes.models.grounding import MOST_OBJECTS
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.prompts import Reading
from weft.nodes.sampling.traits import PromptTraits
from weft.nodes.values import Conditioning, F, TextEncoder


def _check(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """There must be a box for each phrase, in the picture."""
    phrases, boxes = inputs.get("phrases"), inputs.get("boxes")
    try:
        if phrases is not None and boxes is not None:
            check_boxes(phrases, boxes)
    except InputError as refusal:
        yield NodeProblem.of(refusal, "boxes")


def check_boxes(phrases: list[str], boxes: list[list[float]]) -> None:
    """Raise `InputError` unless there is a box in the picture for each phrase, and not too many."""
    if len(phrases) != len(boxes):
        raise InputError(
            f"there are {len(boxes)} boxes for {len(phrases)} phrases", "give one for each", "batch-mismatch"
        )
    if not 0 < len(phrases) <= MOST_OBJECTS:
        raise InputError(
            f"there are {len(phrases)} objects, expected 1 to {MOST_OBJECTS}", "place fewer objects", "out-of-range"
        )
    for phrase, box in zip(phrases, boxes, strict=True):
        if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
            raise InputError(
                f"the box of `{phrase}` is {box}, expected left, top, right and bottom as shares of the picture",
                "write it as [0.1, 0.2, 0.5, 0.9]: left before right, top before bottom, all from 0 to 1",
                "out-of-range",
            )


@node(category="conditioning", lane="gpu", check=_check, traits=(PromptTraits(grounding=True),))
def GroundPrompt(
    positive: Conditioning[F],
    negative: Conditioning[F] | None,
    text_encoder: TextEncoder[F],
    phrases: list[str],
    boxes: list[list[float]],
    *,
    end: Annotated[float, Range(0.0, 1.0)] = 0.3,
    context: Context = INJECTED,
) -> Pictured[F]:
    """Place objects in the picture, with a GLIGEN model (https://arxiv.org/abs/2301.07093).

    Such a model has the layers for it (`masterful/gligen-1-4-generation-text-box`), in the folder of a checkpoint of
    SD 1.x. The prompt should name the objects too. The negative prompt gets the same places without objects.

    Args:
        positive: what the picture is to show.
        negative: what it is not to show; null without a negative prompt.
        text_encoder: of the model; phrases are read as vectors of it.
        phrases: what is at each place: `["a red apple", "a clock"]`; up to 30.
        boxes: for each phrase the left, top, right and bottom of its place, as shares of the picture:
            `[[0.1, 0.5, 0.4, 0.9], [0.6, 0.1, 0.9, 0.4]]`.
        end: the fraction of the steps at which places stop counting: 0.3 places objects and leaves the rest of the run
            to the prompt; 1 holds them throughout, which costs quality. In diffusers it is
            `gligen_scheduled_sampling_beta`.
    """
    import torch

    check_boxes(phrases, boxes)
    with context.weights(text_encoder, PromptEncoder) as encoder:
        read = encoder.read(phrases, Reading(weights=False))
    pooled = read[0].pooled if read else None
    if pooled is None:
        raise InputError(
            "the text encoder makes no vectors of phrases",
            "give that of a GLIGEN model, which is CLIP's",
            "wrong-prompt",
        )
    places = torch.tensor(boxes, dtype=torch.float32)[None]
    grounding = Grounding(places, pooled.float().cpu()[None], end)
    return Pictured(_with(grounding, positive), _with(grounding.withheld(), negative) if negative else None)


def _with(grounding: Grounding, conditioning: Conditioning[F]) -> Conditioning[F]:
    return Conditioning(tuple(replace(one, grounding=grounding) for one in conditioning.prompts))
