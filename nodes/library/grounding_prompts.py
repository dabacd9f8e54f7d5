"""Objects at places of the picture, for GLIGEN models: GroundPrompt, GroundPictures and LoadPictureProjection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from weft.engine import INJECTED, Context, InputError, Limits, NodeProblem, Range, Upstream, node
from weft.nodes.families.image_prompt_sources import PictureProjectionSource
from weft.nodes.image_prompt_values import Grounding, ImageEmbedding, PictureProjection
from weft.nodes.library.image_prompts import Pictured
from weft.nodes.library.loaders import check_variant, variant_fits
from weft.nodes.models.grounding import MOST_OBJECTS
from weft.nodes.models.network_calls import network_call
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.prompts import Reading
from weft.nodes.sampling.image_prompt_checks import projection_reads
from weft.nodes.sampling.traits import PromptTraits
from weft.nodes.sizes import batch_above
from weft.nodes.values import Conditioning, F, TextEncoder

if TYPE_CHECKING:
    from torch import Tensor


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
    _check_count(len(phrases))
    for phrase, box in zip(phrases, boxes, strict=True):
        _check_box(f"`{phrase}`", box)


def _check_count(objects: int) -> None:
    if not 0 < objects <= MOST_OBJECTS:
        raise InputError(
            f"there are {objects} objects, expected 1 to {MOST_OBJECTS}", "place fewer objects", "out-of-range"
        )


def _check_box(named: str, box: list[float]) -> None:
    if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        raise InputError(
            f"the box of {named} is {box}, expected left, top, right and bottom as shares of the picture",
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
    SD 1.x. The prompt should name the objects too. The negative prompt gets the same places without objects. Objects
    that were placed before are replaced; GroundPictures adds others, which look like pictures.

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
    places = torch.tensor(boxes, dtype=torch.float32)[None]
    grounding = Grounding(places, _vectors(text_encoder, phrases, context), end)
    return Pictured(_with(grounding, positive), _with(grounding.withheld(), negative) if negative else None)


def _vectors(text_encoder: TextEncoder[F], phrases: list[str], context: Context) -> Tensor:
    """The vector of each phrase `[1, phrase, channel]`."""
    with context.weights(text_encoder, PromptEncoder) as encoder:
        read = encoder.read(phrases, Reading(weights=False))
    pooled = read[0].pooled if read else None
    if pooled is None:
        raise InputError(
            "the text encoder makes no vectors of phrases",
            "give that of a GLIGEN model, which is CLIP's",
            "wrong-prompt",
        )
    return pooled.float().cpu()[None]


def _with(grounding: Grounding, conditioning: Conditioning[F]) -> Conditioning[F]:
    return Conditioning(tuple(replace(one, grounding=grounding) for one in conditioning.prompts))


@node(category="loaders", lane="io", settings=("precision",), fits=variant_fits)
def LoadPictureProjection(
    source: Annotated[str, PictureProjectionSource()], *, variant: str = "", context: Context = INJECTED
) -> PictureProjection:
    """Load what makes vectors of phrases out of encoded pictures, for GroundPictures.

    Args:
        source: the folder of a GLIGEN pipeline for texts and pictures (`masterful/gligen-1-4-generation-text-image`),
            or that of its part `image_project`. LoadImageEncoder takes the same folder for its image encoder.
        variant: the variant of the weights; left empty, the plain ones, or the only ones there are.
    """
    found = context.found(source)
    check_variant(found.resolved, variant)
    return PictureProjection(str(found.digest), variant, context.precision)


def _check_pictures(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """Boxes must be in the picture, and phrases as many as they are."""
    boxes, phrases = inputs.get("boxes"), inputs.get("phrases")
    try:
        if boxes is not None:
            check_places(boxes, len(boxes), phrases or [])
    except InputError as refusal:
        yield NodeProblem.of(refusal, "boxes")


def check_places(boxes: list[list[float]], pictures: int, phrases: list[str]) -> None:
    """Raise `InputError` unless there is a box in the picture for each picture of an object, and not too many."""
    for what, found in (("pictures", pictures), ("phrases", len(phrases) or len(boxes))):
        if found != len(boxes):
            raise InputError(f"there are {len(boxes)} boxes for {found} {what}", "give one for each", "batch-mismatch")
    _check_count(len(boxes))
    for number, box in enumerate(boxes):
        _check_box(f"picture {number}", box)


def _pictures_fit(apply: Upstream) -> Iterator[NodeProblem]:
    """There must be a picture for each box, encoded as the projection reads it; phrases need a text encoder."""
    yield from projection_reads(apply)
    pictures, boxes = batch_above(apply, "embedding"), apply.literals.get("boxes")
    if pictures and boxes and pictures != len(boxes):
        message = f"there are {len(boxes)} boxes for {pictures} pictures"
        yield NodeProblem("boxes", message, "give one for each", "batch-mismatch")
    if apply.literals.get("phrases") and apply.call.inputs.get("text_encoder") is None:
        yield NodeProblem.of(_lacks_text_encoder(), "text_encoder")
    before, end = apply.above("positive"), apply.literals.get("end")
    traits = before.call.type.trait(PromptTraits) if before else None
    given = before.literals.get("end") if before and traits and traits.grounding else None
    if None not in (given, end) and given != end:
        yield NodeProblem.of(_other_end(), "end")


def _lacks_text_encoder() -> InputError:
    return InputError("phrases are read by a text encoder", "give the model's as `text_encoder`", "missing-input")


def _other_end() -> InputError:
    message = "objects of one prompt stop to count at different steps"
    return InputError(message, "give GroundPrompt and GroundPictures the same `end`", "conflicting-inputs")


@node(
    category="conditioning",
    lane="gpu",
    check=_check_pictures,
    fits=_pictures_fit,
    traits=(PromptTraits(grounding=True, grounding_pictures=True),),
)
def GroundPictures(
    positive: Conditioning[F],
    negative: Conditioning[F] | None,
    projection: PictureProjection,
    embedding: ImageEmbedding,
    boxes: list[list[float]],
    text_encoder: TextEncoder[F] | None = None,
    phrases: list[str] | None = None,
    *,
    length: Annotated[float, Range(0.0, 1000.0)] = 28.7,
    end: Annotated[float, Range(0.0, 1.0)] = 0.3,
    context: Context = INJECTED,
) -> Pictured[F]:
    """Place objects that look like pictures, with a GLIGEN model for texts and pictures (arXiv:2301.07093, section 4).

    Such a model (`masterful/gligen-1-4-generation-text-image`) reads phrases too: objects of a GroundPrompt before this
    node stay, up to 30 in all. The prompt should name the objects. The negative prompt gets the places without objects.

    Args:
        positive: what the picture is to show.
        negative: what it is not to show; null without a negative prompt.
        projection: from LoadPictureProjection.
        embedding: what is at each place, from EncodeImage with the pipeline's own image encoder: one picture a box.
        boxes: for each picture the left, top, right and bottom of its place, as shares of the picture.
        text_encoder: of the model, where there are phrases.
        phrases: for each picture what it shows, in addition to it; an empty text is none. Left out, none has one.
        length: of the vectors of pictures, which the model was trained with: `gligen_normalize_constant` in diffusers.
        end: the fraction of the steps at which places stop counting, the same as that of a GroundPrompt before. 1 holds
            them throughout, as StableDiffusionGLIGENTextImagePipeline does in any case.
    """
    import torch

    check_places(boxes, embedding.count, phrases or [])
    with context.weights(projection) as network:
        first = next(network.parameters())
        given = embedding.vectors.to(first.device, first.dtype)
        with network_call("GLIGEN's projection of pictures", {"picture": given}):
            vectors = network(given).float().cpu()
    pictures = (vectors / vectors.norm(dim=-1, keepdim=True) * length)[None]
    features, phrased = torch.zeros_like(pictures), torch.zeros(pictures.shape[:2])
    if named := [number for number, phrase in enumerate(phrases or []) if phrase]:
        if text_encoder is None:
            raise _lacks_text_encoder()
        features[:, named] = _vectors(text_encoder, [(phrases or [])[number] for number in named], context)
        phrased[:, named] = 1
    places = torch.tensor(boxes, dtype=torch.float32)[None]
    more = Grounding(places, features, end, False, phrased, pictures, torch.ones_like(phrased))
    return Pictured(_adding(more, positive), _adding(more.withheld(), negative) if negative else None)


def _adding(more: Grounding, conditioning: Conditioning[F]) -> Conditioning[F]:
    """Prompts with more objects than they have."""
    prompts = (replace(one, grounding=_joined(one.grounding, more)) for one in conditioning.prompts)
    return Conditioning(tuple(prompts))


def _joined(given: Grounding | None, more: Grounding) -> Grounding:
    """Objects of one prompt and more of them."""
    import torch

    if given is None:
        return more
    if given.end != more.end:
        raise _other_end()
    _check_count(given.boxes.shape[1] + more.boxes.shape[1])
    marks = torch.ones(given.boxes.shape[:2])

    def both(one: Tensor | None, other: Tensor | None, blank: Tensor) -> Tensor:
        return torch.cat([blank if one is None else one, other if other is not None else blank], dim=1)

    return Grounding(
        torch.cat([given.boxes, more.boxes], dim=1),
        torch.cat([given.features, more.features], dim=1),
        given.end,
        given.blank,
        both(given.phrased, more.phrased, marks),
        both(given.pictures, more.pictures, torch.zeros_like(given.features)),
        both(given.pictured, more.pictured, 0 * marks),
    )
