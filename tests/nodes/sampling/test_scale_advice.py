"""Warnings of scales of guidance at which diffusers' pipelines do without it."""

from __future__ import annotations

from typing import Any

import pytest

from weft.engine import Engine
from weft.engine.shipped_graphs import shipped_graph

GRAPH = shipped_graph("text_to_image").graph()


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"guide.scale": 0.0}, True),
        ({"guide.scale": 0.5}, True),
        ({"guide.scale": 0.0, "guide.off_below_1": True}, False),
        ({"guide.scale": 1.0}, False),
        ({"guide.scale": 7.5}, False),
    ],
)
def test_a_scale_below_1_that_keeps_guidance_on_is_warned_of(settings: dict[str, Any], warned: bool) -> None:
    checked = Engine(store=None, device="cpu").check(GRAPH.replace(settings))
    assert not checked.problems
    found = [(one.node, one.input, one.code) for one in checked.warnings]
    assert found == ([("guide", "scale", "unusual-scale")] if warned else [])
