"""What crosses links between the nodes of this library. Every value is frozen, small and on the CPU.

Tensors are float32. `Model`, `TextEncoder`, `VAE` and `ControlNet` are recipes: they name weights by the content digest
of their source and hold none; a node gets the module by `with context.weights(recipe) as module:`.

`F` is the family of models that a value belongs to: `Latent[F]` and `Guide[F]` in one signature must agree, and the
checker follows this through a graph. Read next: `weft.nodes.families`, which turns recipes into modules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from weft.engine import Loading, Recipe, value

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from weft.nodes.families import Family
    from weft.nodes.modules import Autoencoder, Denoiser, Encoder

F = TypeVar("F")


@value
@dataclass(frozen=True, eq=False)
class Latent(Generic[F]):
    """Latents, or only a size: what EmptyLatent gives, whose channels and factor the family knows.

    Args:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        batch_size: items in the batch.
        samples: `[batch, channel, height / factor, width / factor]` in the scale that the model samples in; None where
            only the size is known.
    """

    width: int
    height: int
    batch_size: int
    samples: Tensor | None = None


@value
@dataclass(frozen=True, eq=False)
class Image:
    """Pictures `[batch, height, width, channel]` in 0..1; three channels, or four where the last is alpha."""

    pixels: Tensor


@value
@dataclass(frozen=True, eq=False)
class Mask:
    """Masks `[batch, height, width]` in 0..1."""

    coverage: Tensor


@value
@dataclass(frozen=True)
class Model(Recipe["Denoiser"], Generic[F]):
    """The network that denoises, with the checkpoint's own scheduler configuration.

    Args:
        source: the content digest of the checkpoint.
        family: the name of the family of models.
        variant: the variant of the weights, such as `fp16`; empty takes the plain ones where there are some.
        dtype: what the weights are loaded in: `float32`, `float16` or `bfloat16`.
    """

    source: str
    family: str
    variant: str
    dtype: str

    def load(self, loading: Loading) -> Denoiser:
        return _family(self).denoiser(loading.locate(self.source), self.variant, _dtype(self), loading.device)


@value
@dataclass(frozen=True)
class TextEncoder(Recipe["Encoder"], Generic[F]):
    """The network that reads prompts, with its tokenizer; fields as in `Model`."""

    source: str
    family: str
    variant: str
    dtype: str

    def load(self, loading: Loading) -> Encoder:
        return _family(self).encoder(loading.locate(self.source), self.variant, _dtype(self), loading.device)


@value
@dataclass(frozen=True)
class VAE(Recipe["Autoencoder"], Generic[F]):
    """The network between pixels and latents; fields as in `Model`."""

    source: str
    family: str
    variant: str
    dtype: str

    def load(self, loading: Loading) -> Autoencoder:
        return _family(self).autoencoder(loading.locate(self.source), self.variant, _dtype(self), loading.device)


@value
@dataclass(frozen=True)
class ControlNet(Recipe["torch.nn.Module"], Generic[F]):
    """A network that steers a denoiser by a picture; fields as in `Model`."""

    source: str
    family: str
    variant: str
    dtype: str

    def load(self, loading: Loading) -> torch.nn.Module:
        return _family(self).control_net(loading.locate(self.source), self.variant, _dtype(self), loading.device)


@value
@dataclass(frozen=True, eq=False)
class Control(Generic[F]):
    """A ControlNet at work on a conditioning.

    Args:
        image: the picture that it reads `[batch, height, width, 3]` in 0..1.
        strength: what its output is multiplied by.
        start: the fraction of the run at which it begins.
        end: the fraction of the run at which it ends.
    """

    control_net: ControlNet[F]
    image: Tensor
    strength: float
    start: float
    end: float


@value
@dataclass(frozen=True, eq=False)
class Conditioning(Generic[F]):
    """A prompt as the denoiser reads it.

    Args:
        embeddings: `[batch, token, channel]`; a batch of 1 serves every item.
        encoder: what made them, and what encodes the empty prompt where guidance is given no negative one.
        controls: the ControlNets that act with it, in the order in which their outputs are added.
    """

    embeddings: Tensor
    encoder: TextEncoder[F]
    controls: tuple[Control[F], ...] = ()


@value
@dataclass(frozen=True, eq=False)
class Guide(Generic[F]):
    """A model with the prompts that guide it: what a sampler asks for predictions.

    Args:
        negative: None where the positive prompt alone is asked.
        scale: negative + scale x (positive - negative).
    """

    model: Model[F]
    positive: Conditioning[F]
    negative: Conditioning[F] | None
    scale: float


def _family(recipe: Model[F] | TextEncoder[F] | VAE[F] | ControlNet[F]) -> Family:
    from weft.nodes.families import family

    return family(recipe.family)


def _dtype(recipe: Model[F] | TextEncoder[F] | VAE[F] | ControlNet[F]) -> torch.dtype:
    import torch

    dtype: torch.dtype = getattr(torch, recipe.dtype)
    return dtype
