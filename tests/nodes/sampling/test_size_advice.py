"""Warnings of sizes that a model was not trained on."""

from __future__ import annotations

import pytest

from weft.engine import Engine
from weft.engine.shipped_graphs import shipped_graph

GRAPH = shipped_graph("text_to_image").graph()

ENGINE = Engine(store=None, device="cpu")


@pytest.mark.parametrize(
    ("width", "height", "warned"),
    [(128, 128, False), (192, 96, False), (208, 192, False), (256, 192, True), (64, 64, True), (512, 512, True)],
)
def test_far_more_or_fewer_pixels_than_in_training_are_warned_of(width: int, height: int, warned: bool) -> None:
    checked = ENGINE.check(GRAPH.replace(width=width, height=height))
    assert not checked.problems
    found = [(one.node, one.input, one.code) for one in checked.warnings]
    assert found == ([("sampler", "latent", "unusual-size")] if warned else [])


def test_latents_that_are_sampled_from_may_have_any_size() -> None:
    graph = shipped_graph("image_to_image").graph()
    assert not ENGINE.check(graph).warnings


def test_nothing_is_advised_where_a_graph_has_problems() -> None:
    checked = ENGINE.check(GRAPH.replace({"sampler.eta": 0.5}, width=512))
    assert checked.problems and not checked.warnings
