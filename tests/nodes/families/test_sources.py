"""Sources are found and recognised by names and headers, and refused with the reason and the hint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.refusals import names, refused
from weft.engine import InputError, SearchPaths
from weft.nodes import builtin
from weft.nodes.families.sources import CheckpointSource, ControlNetSource

CHECKPOINT, CONTROL_NET = CheckpointSource(), ControlNetSource()


def header_only(path: Path, *names: str, shape: tuple[int, ...] = (4, 4), data: bytes | None = None) -> Path:
    """A safetensors file of zeros with tensors of these names."""
    size = 4
    for length in shape:
        size *= length
    entries = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": [index * size, (index + 1) * size]}
        for index, name in enumerate(names)
    }
    text = json.dumps(entries).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + (bytes(size * len(names)) if data is None else data))
    return path


def refusal(source: Any, text: str, folder: Path) -> InputError:
    """The error that a name in a models folder meets."""
    with pytest.raises(InputError) as caught:
        source.resolve(text, SearchPaths(working=folder, models=(folder,)))
    return caught.value


@pytest.fixture
def places(models: Path, tmp_path: Path) -> SearchPaths:
    return SearchPaths(working=tmp_path, models=(models,))


def test_a_folder_is_a_checkpoint_of_its_family(models: Path, places: SearchPaths) -> None:
    found = CHECKPOINT.resolve("epsilon", places)
    names = {path.relative_to(models).as_posix() for path in found.files}
    assert (found.family, found.root, found.kind) == ("SD1", models / "epsilon", "checkpoint")
    assert {"epsilon/unet/diffusion_pytorch_model.safetensors", "epsilon/scheduler/scheduler_config.json"} <= names


def test_a_control_net_is_one(models: Path, places: SearchPaths) -> None:
    found = CONTROL_NET.resolve("edges", places)
    assert (found.family, found.kind) == ("SD1", "ControlNet")
    assert {path.name for path in found.files} == {"config.json", "diffusion_pytorch_model.safetensors"}


def test_a_path_may_be_absolute_inside_the_places_only(models: Path, places: SearchPaths, tmp_path: Path) -> None:
    assert CHECKPOINT.resolve(str(models / "epsilon"), places).root == models / "epsilon"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with refused("outside-folders"):
        CHECKPOINT.resolve(str(models / "epsilon"), SearchPaths(working=elsewhere, models=(elsewhere,)))


def test_builtins_are_named(places: SearchPaths) -> None:
    assert "landscapes" in builtin.names()
    assert CHECKPOINT.resolve("builtin:landscapes", places).family == "SD1"
    error = refusal(CHECKPOINT, "builtin:landscape", places.working)
    assert error.code == "unknown-model" and names(error, "landscapes")


def test_a_hub_id_comes_out_of_the_cache(
    models: Path, places: SearchPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--tiny--painter"
    shutil.copytree(models / "epsilon", repository / "snapshots" / "1f2e")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("1f2e")
    assert CHECKPOINT.resolve("tiny/painter", places).root == repository / "snapshots" / "1f2e"
    error = refusal(CHECKPOINT, "tiny/sculptor", tmp_path)
    assert error.code == "not-downloaded" and "weft models pull tiny/sculptor" in error.hint


def test_a_missing_model_suggests_the_nearest(models: Path) -> None:
    error = refusal(CHECKPOINT, "epsilom", models)
    assert error.code == "unknown-model" and names(error, "epsilom", "epsilon")


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "folder/model.bin"])
def test_a_pickle_is_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    error = refusal(CHECKPOINT, name, tmp_path)
    assert error.code == "pickle-refused" and Path(name).name in error.message and ".safetensors" in error.hint


def test_a_folder_of_pickles_is_refused_as_such(models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models / "epsilon", tmp_path / "old"))
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "diffusion_pytorch_model.bin")
    error = refusal(CHECKPOINT, "old", tmp_path)
    assert error.code == "pickle-refused" and names(error, "diffusion_pytorch_model.bin")


def test_a_truncated_file_is_recognised(models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models / "epsilon", tmp_path / "cut"))
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    error = refusal(CHECKPOINT, "cut", tmp_path)
    size = weights.stat().st_size
    assert error.code == "damaged-file" and error.hint
    assert names(error, "diffusion_pytorch_model.safetensors", f"{size:,}", f"{size + 1000:,}")


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        ("lora_unet_down_blocks_0.lora_up.weight", "a LoRA"),
        ("control_model.input_hint_block.0.weight", "a ControlNet"),
        ("emb_params", "a textual inversion embedding"),
        ("conditioner.embedders.0.transformer.weight", "a part of an SDXL checkpoint"),
        ("model.diffusion_model.joint_blocks.0.weight", "a part of an SD 3 checkpoint"),
        ("double_blocks.0.img_attn.qkv.weight", "a part of a FLUX checkpoint"),
        ("cond_stage_model.model.positional_embedding", "a part of an SD 2.x checkpoint"),
        ("model.diffusion_model.input_blocks.0.0.weight", "a checkpoint without its VAE or its text encoder"),
        ("down_blocks.0.attentions.0.proj_in.weight", "a UNet alone"),
        ("decoder.conv_in.weight", "a VAE"),
        ("text_model.final_layer_norm.weight", "a text encoder"),
        ("something.else", "nothing that Weft knows"),
    ],
)
def test_another_kind_of_file_is_recognised(tmp_path: Path, tensor: str, kind: str) -> None:
    header_only(tmp_path / "file.safetensors", tensor)
    error = refusal(CHECKPOINT, "file.safetensors", tmp_path)
    assert error.code == "wrong-kind-of-file" and error.hint
    assert names(error, "file.safetensors", kind)


@pytest.mark.parametrize(
    ("tensor", "loader"),
    [
        ("down_blocks.0.attentions.0.proj_in.weight", "LoadDiffusionModel"),
        ("double_blocks.0.img_attn.qkv.weight", "LoadDiffusionModel"),
        ("decoder.conv_in.weight", "LoadVAE"),
        ("text_model.final_layer_norm.weight", "LoadTextEncoder"),
        ("encoder.block.0.layer.0.layer_norm.weight", "LoadTextEncoder"),
        ("clip_g", "LoadEmbedding"),
    ],
)
def test_a_part_is_sent_to_what_loads_it(tmp_path: Path, tensor: str, loader: str) -> None:
    header_only(tmp_path / "file.safetensors", tensor)
    assert loader in refusal(CHECKPOINT, "file.safetensors", tmp_path).hint


def test_a_checkpoint_is_no_control_net_and_the_reverse(models: Path) -> None:
    for source, name, loader in ((CONTROL_NET, "epsilon", "LoadCheckpoint"), (CHECKPOINT, "edges", "LoadControlNet")):
        error = refusal(source, name, models)
        assert error.code == "wrong-kind-of-file" and loader in error.hint


def test_a_folder_of_another_family_is_refused(models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models / "epsilon", tmp_path / "two"))
    shutil.copytree(folder / "text_encoder", folder / "text_encoder_2")
    error = refusal(CHECKPOINT, "two", tmp_path)
    assert error.code == "unknown-family" and names(error, "text_encoder_2", "SD1", "SDXL")


def test_a_damaged_configuration_is_named(models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models / "epsilon", tmp_path / "odd"))
    (folder / "unet" / "config.json").write_text("[1, 2")
    error = refusal(CHECKPOINT, "odd", tmp_path)
    assert error.code == "damaged-file" and names(error, "unet/config.json")


def test_what_can_be_named_is_listed(models: Path, places: SearchPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(models / "no-cache"))
    named = {name for name, _ in CHECKPOINT.available(places)}
    assert {"builtin:landscapes", "epsilon", "v_prediction", "sample"} <= named
    assert {name for name, _ in CONTROL_NET.available(places)} >= {"edges", "depth"}
