"""Recipes: what LoadCheckpoint and LoadControlNet say, and what loads from it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.refusals import names, refused
from weft.engine import INJECTED, Context, Engine, Graph, NodeType, node
from weft.engine.store.codec import content_digest, flatten, restore
from weft.nodes import LoadCheckpoint, LoadControlNet, Model

Load = Callable[..., Any]

WEIGHTS = "diffusion_pytorch_model.safetensors"


def loader(folder: Path, precision: str = "float32") -> Load:
    """Calls nodes at once in an engine of its own over a models folder."""
    engine = Engine(store=None, device="cpu", precision=precision, models=[folder])

    def load(type: Any, **given: Any) -> Any:
        return engine.run_now(cast(NodeType, type), given)

    return load


@node
def FirstWeight(model: Model[Any], *, context: Context = INJECTED) -> Any:
    """The first layer's weight of a loaded denoiser."""
    with context.weights(model) as denoiser:
        return denoiser.network.conv_in.weight


@pytest.fixture
def halves(models: Path, tmp_path: Path) -> Path:
    """A models folder with `half`, whose UNet comes plain and, with every weight 0, as fp16."""
    unet = shutil.copytree(models / "epsilon", tmp_path / "half") / "unet"
    zeros = {name: torch.zeros_like(tensor).half() for name, tensor in load_file(unet / WEIGHTS).items()}
    save_file(zeros, unet / "diffusion_pytorch_model.fp16.safetensors", metadata={"format": "pt"})
    return tmp_path


def test_a_recipe_names_content_not_place(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "epsilon", tmp_path / "renamed")
    here, there = loader(models)(LoadCheckpoint, source="epsilon"), loader(tmp_path)(LoadCheckpoint, source="renamed")
    assert here == there
    assert (here.model.family, here.model.dtype) == ("SD1", "float32")
    assert str(models) not in repr(here)


def test_a_recipe_is_the_same_out_of_a_store(models: Path) -> None:
    """So that one loaded module serves both."""
    model = loader(models)(LoadCheckpoint, source="epsilon").model
    parts = flatten(model)
    restored = restore(parts.tree, parts.tensors.__getitem__, parts.blobs.__getitem__)
    assert restored == model and content_digest(restored) == content_digest(model)
    assert type(model.source) is str


def test_precision_is_part_of_a_recipe_and_of_what_loads(models: Path) -> None:
    load = loader(models, "bfloat16")
    checkpoint = load(LoadCheckpoint, source="epsilon")
    assert checkpoint.vae.dtype == load(LoadControlNet, source="edges").dtype == "bfloat16"
    assert load(FirstWeight, model=checkpoint.model).dtype == torch.bfloat16


def test_a_variant_is_loaded_where_it_is_named(halves: Path) -> None:
    load = loader(halves)
    plain, half = load(LoadCheckpoint, source="half"), load(LoadCheckpoint, source="half", variant="fp16")
    assert load(FirstWeight, model=plain.model).abs().max() > 0
    assert load(FirstWeight, model=half.model).abs().max() == 0
    assert load(FirstWeight, model=half.model).dtype == torch.float32


def test_a_variant_is_loaded_where_there_is_no_other(halves: Path) -> None:
    (halves / "half" / "unet" / WEIGHTS).unlink()
    load = loader(halves)
    assert load(FirstWeight, model=load(LoadCheckpoint, source="half").model).abs().max() == 0


def test_an_unknown_variant_is_refused_with_those_there_are(halves: Path) -> None:
    with refused("unknown-variant", "half", "fp8", "fp16"):
        loader(halves)(LoadCheckpoint, source="half", variant="fp8")


def test_an_unknown_variant_is_refused_before_a_run(halves: Path) -> None:
    with Graph() as graph:
        graph.output("model", LoadCheckpoint("half", variant="fp8").model)
    (problem,) = Engine(store=None, models=[halves]).check(graph).problems
    assert (problem.code, problem.node, problem.input) == ("unknown-variant", "load_checkpoint", "variant")
    assert names(problem, "half", "fp8", "fp16")


def test_what_a_model_predicts_can_be_set(call: Load, context: Context) -> None:
    """Where the checkpoint does not: a single file."""
    own, changed = (
        call(LoadCheckpoint, source="epsilon", **options).model for options in ({}, {"prediction": "v_prediction"})
    )
    with context.weights(own) as one, context.weights(changed) as other:
        assert (one.scheduler["prediction_type"], other.scheduler["prediction_type"]) == ("epsilon", "v_prediction")
