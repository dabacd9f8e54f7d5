"""Whole files whose text models lack tensors, or name them otherwise, as some are published with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.nodes.layouts import Tensors, sd1
from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import LoadCheckpoint, LoadDiffusionModel, LoadTextEncoder, TextEncode
from weft.nodes.families import of_checkpoint, of_text_models
from weft.nodes.models.contents import Contents

CLIP_L, CLIP_G, T5 = (f"text_encoders.{name}.transformer." for name in ("clip_l", "clip_g", "t5xxl"))
TABLE, OTHER_TABLE = f"{T5}shared.weight", f"{T5}encoder.embed_tokens.weight"


def without(found: Tensors, *names: str) -> Tensors:
    """Tensors without some of them."""
    assert found.keys() >= set(names)
    return {name: tensor for name, tensor in found.items() if name not in names}


def sd3(models: Path, zoo: Any) -> Tensors:
    """The tensors of an SD 3 file; T5's table is there under both of its names."""
    found = load_file(models / zoo("sd3.safetensors"))
    return {**found, TABLE: found[TABLE], OTHER_TABLE: found[TABLE].clone()}


def put(models: Path, name: str, found: Tensors) -> str:
    save_file({one: tensor.contiguous() for one, tensor in found.items()}, models / name)
    return name


def encoded(engine: Engine, name: str) -> Any:
    """A prompt as the text models of a checkpoint make it."""
    with Graph() as graph:
        graph.output("prompt", TextEncode(LoadCheckpoint(name).text_encoder, "a red house"))
    return engine.run(graph).outputs["prompt"].prompts[0]


def test_sd_3_without_a_projection_has_the_identity(zoo: Any, engine: Engine, models: Path) -> None:
    found, projection = sd3(models, zoo), f"{CLIP_L}text_projection.weight"
    identity = {**found, projection: torch.eye(len(found[projection])).half()}
    names = [
        put(models, "sd3-identity.safetensors", identity),
        put(models, "sd3-published.safetensors", without(found, projection)),
    ]
    wanted, read, other = (encoded(engine, name) for name in (*names, zoo("sd3.safetensors")))
    assert torch.equal(read.pooled, wanted.pooled) and not torch.equal(read.pooled, other.pooled)


def test_clip_alone_without_a_projection_has_the_identity(zoo: Any, engine: Engine, models: Path) -> None:
    found = sd3(models, zoo)
    parts = {
        prefix: {one.removeprefix(prefix): found[one] for one in found if one.startswith(prefix)}
        for prefix in (CLIP_L, CLIP_G)
    }
    width = len(parts[CLIP_L]["text_projection.weight"])
    identity = {**parts[CLIP_L], "text_projection.weight": torch.eye(width).half()}
    files = {
        "clip_l-bare.safetensors": without(parts[CLIP_L], "text_projection.weight"),
        "clip_l-identity.safetensors": identity,
        "clip_g.safetensors": parts[CLIP_G],
        "clip_g-bare.safetensors": without(parts[CLIP_G], "text_projection.weight"),
    }
    for name, tensors in files.items():
        put(models, name, tensors)

    def pooled(first: str, second: str = "clip_g.safetensors") -> Any:
        with Graph() as graph:
            model: Any = LoadDiffusionModel("sd3/transformer")
            graph.output("prompt", TextEncode(LoadTextEncoder(model, first, second), "a red house"))
        return engine.run(graph).outputs["prompt"].prompts[0].pooled

    assert torch.equal(pooled("clip_l-bare.safetensors"), pooled("clip_l-identity.safetensors"))
    with refused("missing-weights", "clip_g-bare.safetensors"):
        pooled("clip_l-bare.safetensors", "clip_g-bare.safetensors")


def test_t5_has_its_table_under_either_name(zoo: Any, engine: Engine, models: Path) -> None:
    found = sd3(models, zoo)
    names = [
        put(models, f"sd3-{index}.safetensors", tensors)
        for index, tensors in enumerate((found, without(found, TABLE), without(found, OTHER_TABLE)))
    ]
    both, one, other = (encoded(engine, name).embeddings for name in names)
    assert torch.equal(one, both) and torch.equal(other, both)


def test_a_text_model_without_its_table_is_refused(zoo: Any, models: Path, tmp_path: Path) -> None:
    found = sd3(models, zoo)
    put(tmp_path, "odd.safetensors", without(found, TABLE, OTHER_TABLE))
    with refused("missing-weights", "t5xxl"):
        of_checkpoint(Contents.of(tmp_path / "odd.safetensors"))


@pytest.mark.parametrize(
    ("model", "name"),
    [("sd3", f"{CLIP_G}text_projection.weight"), ("sdxl", "conditioner.embedders.1.model.text_projection")],
)
def test_a_file_without_a_projection_that_is_read_is_refused(zoo: Any, models: Path, model: str, name: str) -> None:
    found = load_file(models / zoo(f"{model}.safetensors"))
    put(models, "odd.safetensors", without(found, name))
    with refused("missing-weights", "clip_g"):
        of_checkpoint(Contents.of(models / "odd.safetensors"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("wi_0", lambda found: {name.replace("wi_0", "wi"): one for name, one in found.items() if "wi_1" not in name}),
    ],
)
def test_other_kinds_of_t5_are_refused(zoo: Any, models: Path, name: str, change: Callable[[Tensors], Tensors]) -> None:
    found = load_file(models / zoo("flux-dev") / "text_encoder_2" / "model.safetensors")
    put(models, "odd.safetensors", change(found))
    with refused("wrong-text-models"):
        of_text_models(Contents.of(models / "odd.safetensors"))


SHORT: dict[str, tuple[str, Callable[[Path, Any], Tensors]]] = {
    "clip": ("cond_stage_model.transformer.", lambda models, zoo: sd1(models / "clip")),
    "sdxl": ("conditioner.embedders.0.transformer.", lambda models, zoo: load_file(models / zoo("sdxl.safetensors"))),
}
"""What the names of CLIP's tensors begin with, and the file of each model."""


@pytest.mark.parametrize("model", SHORT)
def test_clip_without_text_model_in_its_names_reads_the_same(
    zoo: Any, engine: Engine, models: Path, model: str
) -> None:
    prefix, tensors = SHORT[model]
    found = tensors(models, zoo)
    short = {name.replace(f"{prefix}text_model.", prefix): one for name, one in found.items()}
    assert short.keys() != found.keys()
    names = [put(models, f"{model}-{index}.safetensors", one) for index, one in enumerate((found, short))]
    one, other = (encoded(engine, name).embeddings for name in names)
    assert torch.equal(one, other)
