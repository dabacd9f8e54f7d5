"""Values of scores: the mean of numbers, and vectors that are held to their shape."""

from __future__ import annotations

import pytest
import torch

from tests.refusals import refused
from weft.nodes import PictureFeatures, Scored
from weft.nodes.score_values import FeatureNetwork


def test_a_score_is_the_mean_of_those_of_the_pictures() -> None:
    found = Scored.of([1.0, 2.0, 6.0])
    assert found.score == pytest.approx(3.0) and found.scores == [1.0, 2.0, 6.0]


def test_vectors_of_another_shape_are_refused() -> None:
    network = FeatureNetwork("a" * 64, "", "float32")
    PictureFeatures(network, torch.zeros(2, 3)).check_value()
    with refused("wrong-tensor"):
        PictureFeatures(network, torch.zeros(2, 3, 1)).check_value()
