"""The values of models that make pictures of pictures without sampling: recipes, as those of `weft.nodes.values`."""

from __future__ import annotations

from dataclasses import dataclass

from weft.engine import value
from weft.nodes.image_prompt_values import ImageWeights


@value
@dataclass(frozen=True, repr=False)
class Upscaler(ImageWeights):
    """A network that enlarges pictures."""


@dataclass(frozen=True, repr=False)
class TaskWeights(ImageWeights):
    """A model of transformers that says something about pictures."""


@value
@dataclass(frozen=True, repr=False)
class DepthModel(TaskWeights):
    """A model that estimates depth.

    Args:
        metric: whether it gives the distance, which grows away from the viewer.
    """

    metric: bool = False


@value
@dataclass(frozen=True, repr=False)
class ImageClassifier(TaskWeights):
    """A model that says which class a picture is of."""


@value
@dataclass(frozen=True, repr=False)
class TextClassifier(TaskWeights):
    """A model that says which class a text is of."""


@value
@dataclass(frozen=True, repr=False)
class SegmentationModel(TaskWeights):
    """A model that gives each place of a picture a class."""


@value
@dataclass(frozen=True, repr=False)
class PoseModel(TaskWeights):
    """A model that finds the joints of people."""


@value
@dataclass(frozen=True, repr=False)
class ObjectDetector(TaskWeights):
    """A model that finds things and people, and the boxes around them."""
