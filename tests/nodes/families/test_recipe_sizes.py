"""The sizes of modules are known from headers before they are loaded, so that room is made for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.nodes.families.conftest import Zoo
from tests.nodes.families.single_files import SINGLE_FILES
from tests.nodes.gguf_files import write_gguf
from weft.engine import Context, Loading
from weft.engine.weights.resident import module_bytes
from weft.nodes import LoadCheckpoint, LoadDiffusionModel

LARGEST_ERROR = 0.02

OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("sd2", "sd3.safetensors", "qwen-image")]
"""Slow: `pytest -m slow tests/nodes/families/test_recipe_sizes.py`."""


@pytest.mark.parametrize("name", ["sdxl.safetensors", "flux-dev", *OTHERS])
def test_a_module_is_as_large_as_headers_say(call: Callable[..., Any], context: Context, zoo: Zoo, name: str) -> None:
    for recipe in call(LoadCheckpoint, source=zoo(name)):
        loading = Loading("cpu", context.residency.sources)
        predicted, held = recipe.size(loading), module_bytes(recipe.load(loading))
        assert abs(predicted - held) <= LARGEST_ERROR * held, (recipe, predicted, held)


@pytest.mark.parametrize("kind", ["gguf", "fp8"])
def test_packed_weights_are_as_large_as_headers_say(
    call: Callable[..., Any], context: Context, zoo: Zoo, models: Path, kind: str
) -> None:
    prefix = "model.diffusion_model."
    found = SINGLE_FILES["flux-dev"](models / zoo("flux-dev"))
    own = {name.removeprefix(prefix): one for name, one in found.items() if name.startswith(prefix)}
    if kind == "gguf":
        source = "sized.gguf"
        write_gguf(models / source, own, "Q8_0", "flux")
    else:
        source = "sized.safetensors"
        save_file({prefix + name: one.to(torch.float8_e4m3fn) for name, one in own.items()}, models / source)
    recipe = call(LoadDiffusionModel, source=source)
    loading = Loading("cpu", context.residency.sources)
    predicted, held = recipe.size(loading), module_bytes(recipe.load(loading))
    assert abs(predicted - held) <= LARGEST_ERROR * held


@pytest.mark.parametrize("storage", ["int8", "nf4"])
def test_weights_that_are_to_be_kept_in_eight_bits_are_about_as_large_as_headers_say(
    call: Callable[..., Any], context: Context, zoo: Zoo, storage: str
) -> None:
    """The few layers that keep their precision are not known from headers; in tiny networks they are many."""
    zoo("flux-dev")
    recipe = call(LoadDiffusionModel, source="flux-dev/transformer", weights=storage)
    loading = Loading("cpu", context.residency.sources)
    predicted, held = recipe.size(loading), module_bytes(recipe.load(loading))
    assert abs(predicted - held) <= 0.15 * held
