"""Numbers about pictures, and the models that give them: recipes, as those of `weft.nodes.values`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from weft.engine import value
from weft.nodes.image_prompt_values import ImageWeights
from weft.nodes.picture_model_values import TaskWeights
from weft.nodes.value_checks import check_tensor

if TYPE_CHECKING:
    from torch import Tensor


class Scored(NamedTuple):
    """A number of pictures.

    Args:
        score: the mean.
        scores: that of each picture.
    """

    score: float
    scores: list[float]

    @classmethod
    def of(cls, scores: Sequence[float]) -> Scored:
        """Those of each picture with their mean."""
        return cls(sum(scores) / len(scores), [*scores])


@value
@dataclass(frozen=True, repr=False)
class ClipModel(TaskWeights):
    """A model that compares pictures with texts: CLIP or SigLIP."""


@value
@dataclass(frozen=True, repr=False)
class AestheticHead(ImageWeights):
    """Layers that make a rating of the vector of a picture."""


@value
@dataclass(frozen=True, repr=False)
class PerceptualNetwork(ImageWeights):
    """A network that compares pictures as people do (LPIPS)."""


@value
@dataclass(frozen=True, repr=False)
class FeatureNetwork(TaskWeights):
    """A network that describes pictures by vectors, in which sets of pictures are compared."""


@value
@dataclass(frozen=True, eq=False)
class PictureFeatures:
    """The vectors of a set of pictures.

    Args:
        network: what they are of: those of two networks are not compared.
        vectors: `[picture, channel]`.
    """

    network: FeatureNetwork
    vectors: Tensor = field(repr=False)

    def check_value(self) -> None:
        """Raise `InputError` for vectors of another shape or type."""
        check_tensor("the vectors of PictureFeatures", self.vectors, ("picture", "channel"))

    def __repr__(self) -> str:
        count, channels = self.vectors.shape
        return f"PictureFeatures({count} pictures, {channels} channels)"
