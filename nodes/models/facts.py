"""What the headers of weights say, read once when a source is recognised and shared from then on.

A source's record is `Resolved.facts`: checks of a graph (`Upstream.source`), bodies of nodes (`Context.found`) and the
loaders of recipes read the same one, and none of them opens a header again. Imports no torch. Read next:
`weft.nodes.families`, which makes these records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from weft.nodes.models.contents import Contents
from weft.nodes.models.old_schedulers import NO_CORRECTIONS, SchedulerCorrections
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.tensor_layouts import TensorLayout


class PromptWidths(NamedTuple):
    """Channels of the prompts that a denoiser reads; 0 where headers do not say it, or where nothing is read.

    Args:
        prompt: of each token.
        vector: of the pooled vector of a prompt, where it is not joined with other values.
    """

    prompt: int
    vector: int = 0


@dataclass(frozen=True)
class TextModelFacts:
    """What headers say of one text model.

    Args:
        kind: `clip` (CLIP's and OpenCLIP's), `t5`, or a language model's `model_type`.
        width: channels of its tokens.
        layers: how many it has.
        projects: whether its pooled vector is projected.
        folder: its component in the folder `Resolved.root`; empty where the root is the component itself, or a file.
        prefix: what the names of its tensors begin with in a file.
        shapes: of its tensors in a file, by the rest of their names.
        vocabulary: how many tokens it knows; 0 where headers do not say it.
    """

    kind: str
    width: int
    layers: int
    projects: bool = False
    folder: str = ""
    prefix: str = ""
    shapes: Shapes = field(default_factory=dict, repr=False, compare=False)
    vocabulary: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.kind.upper()}, {self.layers} layers of {self.width} channels"


@dataclass(frozen=True)
class TextSourceFacts:
    """What headers say of a source of text encoders: one alone, several in a file, or those of a whole checkpoint.

    Args:
        models: at least one.
        contents: all that the headers of the source say.
    """

    models: tuple[TextModelFacts, ...]
    contents: Contents = field(default_factory=Contents, repr=False)

    def __str__(self) -> str:
        return "; ".join(map(str, self.models))


@dataclass(frozen=True)
class VAEFacts:
    """What headers say of a VAE, in a checkpoint or alone.

    Args:
        classes: diffusers' classes that it can be loaded as: the one that a folder names, those of a file's layout.
        config: its configuration, as these classes take it.
        channels: of latents.
        factor: pixels to a latent element, along each side.
        time_factor: frames to a latent frame, but for the first frame.
        prefix: what the names of its tensors begin with in a file.
        layout: of its tensors in a file; None in a folder.
        families: the names of the families whose latents it may make, where it is alone.
        contents: all that the headers of its source say.
    """

    classes: tuple[str, ...]
    config: Mapping[str, Any] = field(repr=False)
    channels: int
    factor: int
    time_factor: int = 1
    prefix: str = ""
    layout: TensorLayout | None = field(default=None, repr=False)
    families: tuple[str, ...] = ()
    contents: Contents = field(default_factory=Contents, repr=False)


@dataclass(frozen=True)
class NetworkFacts:
    """What headers say of the network of a denoiser or of a ControlNet.

    Args:
        config: its configuration, as diffusers' class takes it.
        prefix: what the names of its tensors begin with in a single file.
        layout: of its tensors in a single file; None in a folder.
    """

    config: Mapping[str, Any] = field(repr=False)
    prefix: str = ""
    layout: TensorLayout | None = field(default=None, repr=False)


@dataclass(frozen=True)
class CheckpointFacts:
    """What headers say of a checkpoint, or of a denoiser alone.

    Args:
        family: the name of its family.
        network: of its denoiser.
        scheduler: the configuration of the scheduler that it came with, or that of most of its family.
        latent_channels: of the latents that it samples.
        latent_factor: pixels to a latent element, along each side.
        extra_channels: channels that its network takes in addition to those of the latents (concat conditioning): the
            mask and the picture of an inpainting model.
        widths: of the prompts that its network reads.
        text_models: those that it has, by the names of its family; none for a denoiser alone.
        vae: its VAE; None where it has none.
        contents: all that its headers say.
        corrections: of the scheduler's configuration, as diffusers' pipelines make them.
        marked: whether a single file says that it was trained otherwise than most of its family.
    """

    family: str
    network: NetworkFacts
    scheduler: Mapping[str, Any]
    latent_channels: int
    latent_factor: int
    extra_channels: int
    widths: PromptWidths
    text_models: Mapping[str, TextModelFacts]
    vae: VAEFacts | None
    contents: Contents = field(repr=False)
    corrections: SchedulerCorrections = NO_CORRECTIONS
    marked: bool = False


@dataclass(frozen=True)
class ControlNetFacts:
    """What headers say of a ControlNet or another control network.

    Args:
        family: the name of the family whose denoisers it steers.
        class_name: diffusers' class of it.
        network: of the control network.
        contents: all that its headers say.
    """

    family: str
    class_name: str
    network: NetworkFacts
    contents: Contents = field(repr=False)


@dataclass(frozen=True)
class EmbeddingFacts:
    """What headers say of a textual inversion embedding.

    Args:
        word: that it stands for where a graph names no other.
        sizes: how many vectors there are, and of how many channels, by the name of a tensor.
    """

    word: str
    sizes: Mapping[str, tuple[int, int]]
