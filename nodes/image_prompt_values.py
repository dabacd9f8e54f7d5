"""The values of prompts that are pictures: image encoders, what they make of pictures, and adapters that read it.

`ImageEncoder`, `IPAdapter`, `UnCLIP` and `Redux` are recipes, as those of `weft.nodes.values`. They have no family:
whether an adapter fits a model follows from the sizes of both (`weft.nodes.sampling.image_prompt_checks`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from weft.engine import ADDED_LATER, Recipe, value
from weft.nodes.value_checks import check_tensor

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ImageWeights(Recipe[Any]):
    """Names the weights of one component that reads or makes pictures.

    Args:
        source: the content digest of the files that they are in.
        variant: the variant of the weights, such as `fp16`; empty takes the plain ones, or the only ones.
        dtype: the precision that they are loaded in: `float32`, `float16` or `bfloat16`.
    """

    source: str
    variant: str
    dtype: str

    def __repr__(self) -> str:
        variant = f", {self.variant}" if self.variant else ""
        return f"{type(self).__name__}({self.dtype}{variant}, {self.source[:12]})"


@value
@dataclass(frozen=True, repr=False)
class ImageEncoder(ImageWeights):
    """The vision model of CLIP or SigLIP."""


@value
@dataclass(frozen=True, repr=False)
class IPAdapter(ImageWeights):
    """An IP-Adapter: a projection of encoded pictures, and keys and values for each attention layer of a denoiser."""


@value
@dataclass(frozen=True, repr=False)
class UnCLIP(ImageWeights):
    """What a checkpoint of Stable unCLIP says of noise for the vectors of pictures."""


@value
@dataclass(frozen=True, repr=False)
class Redux(ImageWeights):
    """FLUX.1 Redux: a projection of encoded pictures to the tokens of a prompt."""


@value
@dataclass(frozen=True, repr=False)
class PictureProjection(ImageWeights):
    """GLIGEN's projection of pictures to vectors of phrases."""


@value
@dataclass(frozen=True, eq=False)
class ImageEmbedding:
    """What an image encoder makes of pictures.

    Args:
        encoder: the image encoder; it also encodes the empty picture that stands for no picture.
        tokens: the hidden states before its last layer `[picture, token, channel]`.
        last: the hidden states after its last layer `[picture, token, channel]`.
        vectors: the pooled and projected vector of each picture `[picture, channel]`.
    """

    encoder: ImageEncoder
    tokens: Tensor = field(repr=False)
    last: Tensor = field(repr=False)
    vectors: Tensor = field(repr=False)

    def check_value(self) -> None:
        """Raise `InputError` for tensors of another shape or type."""
        for what, found in (("tokens", self.tokens), ("last tokens", self.last)):
            check_tensor(f"the {what} of an ImageEmbedding", found, ("picture", "token", "channel"))
        check_tensor("the vectors of an ImageEmbedding", self.vectors, ("picture", "channel"))

    @property
    def count(self) -> int:
        """The number of pictures."""
        return len(self.vectors)


@value
@dataclass(frozen=True, eq=False)
class FaceEmbedding:
    """What InsightFace makes of faces, as prompts of IP-Adapter FaceID.

    Args:
        vectors: its numbers of each `[face, channel]`.
    """

    vectors: Tensor = field(repr=False)

    def check_value(self) -> None:
        """Raise `InputError` for a tensor of another shape or type."""
        check_tensor("the vectors of a FaceEmbedding", self.vectors, ("face", "channel"))


@value
@dataclass(frozen=True, eq=False)
class ImagePrompt:
    """Pictures that act with a prompt, through an IP-Adapter.

    Args:
        adapter: the IP-Adapter.
        tokens: what its projection makes of the pictures `[item, picture, token, channel]`; one item serves all. Where
            that depends on the step (SD 3), what it reads of them.
        blank: what it makes of the absence of a picture, of the same shape: for the negative prompt.
        scale: the factor of its output.
        blocks: factors of `scale` for parts of the denoiser, as text (`weft.nodes.models.network_blocks`); the others
            have 0. Empty is 1 for all.
        mask: how much it acts at each place `[item, height, width]`, stretched over the picture; None is 1 everywhere.
        start: the fraction of the steps at which it begins.
        end: the fraction of the steps at which it ends.
    """

    adapter: IPAdapter
    tokens: Tensor = field(repr=False)
    blank: Tensor = field(repr=False)
    scale: float
    blocks: str = ""
    mask: Tensor | None = field(default=None, repr=False)
    start: float = 0.0
    end: float = 1.0

    def check_value(self) -> None:
        """Raise `InputError` for tokens or a mask of another shape or type."""
        for found in (self.tokens, self.blank):
            check_tensor("the tokens of an ImagePrompt", found, ("item", "picture", "token", "channel"))
        if self.mask is not None:
            check_tensor("the mask of an ImagePrompt", self.mask, ("item", "height", "width"))

    def withheld(self) -> ImagePrompt:
        """The same without its pictures: what the negative prompt gets."""
        return replace(self, tokens=self.blank)


@value
@dataclass(frozen=True, eq=False)
class Grounding:
    """Objects at places of the picture (GLIGEN).

    Args:
        boxes: left, top, right and bottom of each, as shares of the picture `[item, object, 4]`; one item serves all.
        features: the vector of the phrase of each `[item, object, channel]`.
        end: the fraction of the steps at which they stop to count.
        blank: whether learned vectors stand in their place, for the negative prompt.
        phrased: 1 for those that have a phrase, else 0 `[item, object]`; None where all have.
        pictures: the vector of the picture of each `[item, object, channel]`; None where none has.
        pictured: 1 for those that have a picture, else 0 `[item, object]`; None where none has.
    """

    boxes: Tensor = field(repr=False)
    features: Tensor = field(repr=False)
    end: float
    blank: bool = False
    phrased: Tensor | None = field(default=None, metadata=ADDED_LATER, repr=False)
    pictures: Tensor | None = field(default=None, metadata=ADDED_LATER, repr=False)
    pictured: Tensor | None = field(default=None, metadata=ADDED_LATER, repr=False)

    def check_value(self) -> None:
        """Raise `InputError` for tensors of another shape or type."""
        check_tensor("the boxes of a Grounding", self.boxes, ("item", "object", 4))
        for what, vectors in (("features", self.features), ("pictures", self.pictures)):
            if vectors is not None:
                check_tensor(f"the {what} of a Grounding", vectors, ("item", "object", "channel"))
        for marks in (self.phrased, self.pictured):
            if marks is not None:
                check_tensor("the marks of a Grounding", marks, ("item", "object"))

    def withheld(self) -> Grounding:
        """The same places without objects: what the negative prompt gets."""
        return replace(self, blank=True)
