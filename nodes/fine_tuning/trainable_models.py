"""Which models learn from pictures with captions, by what their headers say. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine import InputError, NodeProblem, Upstream
from weft.nodes.models.denoiser_facts import ClipLimits
from weft.nodes.sampling.model_links import loaded, loader_above
from weft.nodes.sampling.traits import ModelTraits
from weft.nodes.values import Model


def learns_from_pictures(trainer: Upstream) -> Iterator[NodeProblem]:
    """The model must be one of pictures, which reads a caption and nothing else."""
    loader = loader_above(trainer, Model)
    model = loaded(loader) if loader else None
    if model:
        denoiser, config = model.family.denoiser, model.facts.network.config
        clips = ClipLimits(in_rows=True) if _moves(trainer) else denoiser.clip_limits(config)
        try:
            check_learns(model.family.name, clips, denoiser.image_vector_width(config), model.extra_channels)
        except InputError as refusal:
            yield NodeProblem.of(refusal, "model", after=f"; {model}")


def is_plain_unet(trainer: Upstream) -> Iterator[NodeProblem]:
    """What a ControlNet is trained for must also be a UNet of which it can be a copy."""
    yield from learns_from_pictures(trainer)
    loader = loader_above(trainer, Model)
    model = loaded(loader) if loader else None
    if model is None:
        return
    denoiser, config = model.family.denoiser, model.facts.network.config
    if denoiser.has_skips and (denoiser.distilled(config) or denoiser.grounds(config)):
        message = f"the UNet has layers for a scale or for objects, which no ControlNet has; {model}"
        hint = "train with a plain model of its family; what is trained acts with this one too"
        yield NodeProblem("model", message, hint, "unsupported-by-model")


def _moves(trainer: Upstream) -> bool:
    """Whether the model has motion modules that were added to it."""
    above = trainer.above_by_type(Model)
    while above:
        traits = above.call.type.trait(ModelTraits)
        if traits and traits.longest_clip:
            return True
        above = above.above_by_type(Model)
    return False


def check_learns(family: str, clips: ClipLimits | None, image_vector: int, extra_channels: int) -> None:
    """Raise `InputError` where pictures with captions are not what a model was trained with.

    Args:
        family: of the model, for messages.
        clips: that it makes; None where it makes pictures.
        image_vector: channels of the vector of a picture that it reads; 0 where it reads none.
        extra_channels: that it reads in addition to its latents.
    """
    if extra_channels:
        message = f"the model reads {extra_channels} channels in addition to its latents, and pictures have none"
        hint = "train with the plain model of its family; what is trained acts with this one too"
    elif clips:
        makes = "divides pictures into layers" if clips.layers else "makes clips"
        message, hint = f"a model of {family} {makes}, and pictures are what is learned", "train a model of pictures"
        hint = "train it without ApplyMotionAdapter, which takes what is trained" if clips.in_rows else hint
    elif image_vector:
        message = "the model reads the vector of a picture, which captions lack"
        hint = "train with the plain model of its family"
    else:
        return
    raise InputError(message, hint, "unsupported-by-model")
