"""What node types declare about themselves for the checks of other nodes: `@node(..., traits=(GuideTraits(...),))`.

The checks of this library (`weft.nodes.sampling.compatibility`) read these traits and signatures, never the names of
node types, so the nodes of another library are checked as ours are. A node type without traits is not checked against
its neighbours before a run; the run checks the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from weft.engine import InputError, NodeProblem, Upstream
from weft.nodes.models import clip_pictures

AS_READ: Final = "as read"
"""As many channels as the model reads, of a guide that asks the model's family what it reads of pictures."""


def always(*inputs: str) -> Callable[[Upstream], Sequence[str]]:
    """Gives the same inputs for each node."""
    return lambda node: inputs


def no_inputs(node: Upstream) -> Sequence[str]:
    """Gives none, for any node."""
    return ()


@dataclass(frozen=True)
class GuideTraits:
    """Facts about a node type that returns a `Guide`.

    Args:
        extra_channels: channels that its guide concatenates to the latents before the denoiser reads them, or several
            numbers where that depends on the model's family; None passes on those of the guide that it takes. A
            sampler refuses a guide whose number differs from the model's. `AS_READ` gives those that the model reads.
        edits: whether its guide leads along two directions: to a picture or a middle prompt, and on to its prompt.
        check_sampler: called with a node of the type and with each sampler that uses its guide, directly or through
            other guides; yields problems of the sampler's inputs.
        for_items: gives the inputs of a node whose pictures or masks are one for all items that are sampled, or one for
            each: `always("image", "mask")`.
    """

    extra_channels: int | tuple[int, ...] | Literal["as read"] | None = None
    edits: bool = False
    check_sampler: Callable[[Upstream, Upstream], Iterable[NodeProblem]] | None = None
    for_items: Callable[[Upstream], Sequence[str]] = no_inputs

    @property
    def channel_counts(self) -> tuple[int, ...]:
        """The numbers of channels that its guide may concatenate."""
        given = self.extra_channels
        return given if isinstance(given, tuple) else (given,) if isinstance(given, int) else ()

    def gives(self, channels: int) -> bool:
        """Whether its guide may concatenate so many channels."""
        return self.extra_channels == AS_READ or channels in self.channel_counts


@dataclass(frozen=True)
class LatentTraits:
    """Facts about a node type that returns a `Latent`.

    Args:
        empty: whether its latents are only a size, without samples; a sampler can then only start from noise.
        clip: whether its latents are those of clips.
    """

    empty: bool = False
    clip: bool = False


@dataclass(frozen=True)
class PromptTraits:
    """Facts about a node type that returns a `Conditioning`.

    Args:
        image_vector: whether its prompts have the vector of a picture, which some denoisers read (unCLIP).
        grounding: whether its prompts have objects at places, which some denoisers read (GLIGEN).
        grounding_pictures: whether these objects have pictures, which fewer read.
        framing: whether its prompts say how a picture is framed, which some denoisers read (SDXL).
        for_items: gives the inputs of a node whose pictures or masks are one for all items that are sampled, or one for
            each: `always("image", "mask")`.
    """

    image_vector: bool = False
    grounding: bool = False
    grounding_pictures: bool = False
    framing: bool = False
    for_items: Callable[[Upstream], Sequence[str]] = no_inputs


@dataclass(frozen=True)
class ModelTraits:
    """Facts about a node type that returns a changed `Model`.

    Args:
        unmergeable: called with a node of the type; gives why the model that it returns cannot be merged into another
            one, empty where it can. Changes of weights alone can, others cannot.
        longest_clip: for a node whose model makes clips, called with it; gives the most frames of one, None where that
            is not known before a run.
    """

    unmergeable: Callable[[Upstream], str]
    longest_clip: Callable[[Upstream], int | None] | None = None


EXTRA_CHANNEL_HINTS = {
    0: "guide it with CFGGuide alone",
    4: "put EditGuide after its guide, or DensePredictionGuide for a model of Lotus",
    5: "put InpaintGuide after its guide",
    16: "put ControlGuide after its guide",
    80: "put InpaintGuide after its guide",
}
"""How a model gets the channels that it reads in addition to its latents, by their number."""


def extra_channels_hint(channels: int, makes_clips: bool) -> str:
    """How a model gets so many channels in addition to its latents."""
    if channels and makes_clips:
        return clip_pictures.HINT
    return EXTRA_CHANNEL_HINTS.get(channels, FOREIGN_GUIDE_HINT)


def two_directions() -> InputError:
    """The error where guidance to a picture to edit, or to a middle prompt, and on to its prompt is to be projected."""
    return InputError(
        "guidance leads in two directions, to a picture or a middle prompt and on, and one can be projected",
        "leave ProjectedGuidance out",
        "wrong-guide",
    )


def nothing_to_project() -> InputError:
    """The error where a model that is not guided from outside is to have its guidance projected."""
    return InputError(
        "the model is called with the positive prompt alone, so there is no guidance to project",
        "leave ProjectedGuidance out",
        "unsupported-by-model",
    )


def nothing_between() -> InputError:
    """The error where a model that is not guided from outside is to be led by a middle prompt."""
    return InputError(
        "the model is called with the positive prompt alone, so a middle one leads nowhere",
        "leave MiddlePromptGuide out",
        "unsupported-by-model",
    )


def unlike_vectors(prompt: int, picture: int) -> InputError:
    """The error where the vector of a picture has other channels than the pooled vector of a prompt."""
    return InputError(
        f"the pooled vector of the prompt has {prompt} channels, and the picture's {picture}",
        "encode the prompt for SDXL, and the picture with OpenCLIP ViT-bigG/14",
        "wrong-channels",
    )


def lacks_vae() -> InputError:
    """The error where a ControlNet lacks a VAE."""
    return InputError(
        "the ControlNet reads latents of its picture, and is given no VAE to encode it",
        "link `vae` of ApplyControlNet to the VAE of the model",
        "missing-input",
    )


TRUE_SCALE_HINT = "leave `true_scale` at 1, and set `scale`"
"""What to do where a model reads no scale besides guidance."""

IMAGE_VECTOR_HINT = "give the prompts a picture with ApplyUnCLIP"
"""What to do where a model reads the vector of a picture."""

FOREIGN_GUIDE_HINT = "use a guide that was made for this model"
"""What to do where a model reads another number of channels."""
