"""The sizes of modules are known from headers before they are loaded, so that room is made for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.nodes.families.conftest import Zoo
from weft.engine import Context, Loading
from weft.engine.weights.resident import module_bytes
from weft.nodes import LoadCheckpoint

LARGEST_ERROR = 0.02

OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("sd2", "sd3.safetensors", "qwen-image")]
"""Slow: `pytest -m slow tests/nodes/families/test_recipe_sizes.py`."""


@pytest.mark.parametrize("name", ["sdxl.safetensors", "flux-dev", *OTHERS])
def test_a_module_is_as_large_as_headers_say(call: Callable[..., Any], context: Context, zoo: Zoo, name: str) -> None:
    for recipe in call(LoadCheckpoint, source=zoo(name)):
        loading = Loading("cpu", context.residency.sources)
        predicted, held = recipe.size(loading), module_bytes(recipe.load(loading))
        assert abs(predicted - held) <= LARGEST_ERROR * held, (recipe, predicted, held)
