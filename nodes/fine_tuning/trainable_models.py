"""Which models learn from pictures with captions, by what their headers say. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from weft.engine import InputError, NodeProblem, Upstream
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.sampling.model_links import loaded, loader_above
from weft.nodes.values import Model


def learns_from_pictures(trainer: Upstream) -> Iterator[NodeProblem]:
    """The model must be one of pictures, which reads a caption and nothing else."""
    loader = loader_above(trainer, Model)
    model = loaded(loader) if loader else None
    if model:
        try:
            check_learns(model.family.name, model.family.denoiser, model.facts.network.config, model.extra_channels)
        except InputError as refusal:
            yield NodeProblem.of(refusal, "model", after=f"; {model}")


def check_learns(family: str, denoiser: type[Denoiser], config: Mapping[str, Any], extra_channels: int) -> None:
    """Raise `InputError` where pictures with captions are not what a model was trained with.

    Args:
        family: of the model, for messages.
        config: of its network.
        extra_channels: that it reads in addition to its latents.
    """
    if extra_channels:
        message = f"the model reads {extra_channels} channels in addition to its latents, and pictures have none"
        hint = "train with the plain model of its family; what is trained acts with this one too"
    elif limits := denoiser.clip_limits(config):
        makes = "divides pictures into layers" if limits.layers else "makes clips"
        message, hint = f"a model of {family} {makes}, and pictures are what is learned", "train a model of pictures"
    elif denoiser.image_vector_width(config):
        message = "the model reads the vector of a picture, which captions lack"
        hint = "train with the plain model of its family"
    else:
        return
    raise InputError(message, hint, "unsupported-by-model")
