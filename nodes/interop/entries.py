"""What the outputs of another program's nodes are while a graph is mapped: models, prompts, guides, samplers, noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from weft.engine.graph.graph import Link


class UnmappableError(Exception):
    """A node has no counterpart here; the message says why."""


@dataclass(frozen=True)
class ModelPart:
    """A model, with what the nodes that change it say of its sampling.

    Args:
        shift: of the levels of a flow.
        rescale: of guidance.
        guides: nodes that take the guide made of it, by their type, with their inputs, in order.
        names: of the files that it was loaded from.
        differential: whether a mask of latents says in which steps a place is painted.
        controls: inputs of ApplyControlNet, for each control network that the graph puts into the model.
        normalised: whether a guided prediction is brought back to the length of the positive one.
    """

    link: Link
    shift: float | None = None
    rescale: float = 0.0
    guides: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    names: tuple[str, ...] = ()
    differential: bool = False
    controls: tuple[Mapping[str, Any], ...] = ()
    normalised: bool = False


@dataclass(frozen=True)
class TextPart:
    """Text encoders.

    Args:
        layer: of CLIP that is read, counted from the last one; 0 is the one that the model was trained with.
        kind: what the graph says that they are for, such as `flux`.
    """

    link: Link
    layer: int = 0
    kind: str = ""


@dataclass(frozen=True)
class PromptPart:
    """A prompt.

    Args:
        guidance: the scale that a model reads which was distilled with guidance.
        kind: of the text encoders.
        guides: nodes that take the guide made of it, as of a ModelPart: pictures that the model reads.
    """

    link: Link
    guidance: Any = None
    kind: str = ""
    guides: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    def guided(self, type: str, **inputs: Any) -> PromptPart:
        """The prompt with a node around the guide that is made of it."""
        return replace(self, guides=(*self.guides, (type, inputs)))


@dataclass(frozen=True)
class ControlPart:
    """A control network of several kinds of pictures, with the kind that is meant; None is left to it."""

    link: Link
    kind: str | None = None


@dataclass(frozen=True)
class GuidePart:
    """A guide with its model.

    Args:
        kind: of its positive prompt.
    """

    link: Link
    model: ModelPart
    kind: str = ""


@dataclass(frozen=True)
class SamplerPart:
    """A sampler by its name here, with further inputs of KSampler."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NoisePart:
    """Noise of a seed; None is no noise."""

    seed: Any = None
