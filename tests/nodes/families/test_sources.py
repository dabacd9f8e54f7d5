"""Sources are found and recognised by names and headers, and refused with the reason and the hint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from tests.nodes import layouts
from tests.refusals import names, refused
from weft.engine import InputError, SearchPaths
from weft.nodes import builtin
from weft.nodes.families.sources import CheckpointSource, ControlNetSource, LoRASource

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


@pytest.fixture
def repository(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in the hub's cache, with links into its blobs: one file of weights at its revision `main`."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--tiny--file"
    for folder in ("blobs", "refs", "snapshots/1f2e", "snapshots/9abc/sub"):
        (repository / folder).mkdir(parents=True)
    save_file(layouts.sd1(models / "clip"), repository / "blobs" / "77")
    (repository / "refs" / "main").write_text("1f2e")
    (repository / "refs" / "v2").write_text("9abc")
    (repository / "snapshots" / "1f2e" / "model.safetensors").symlink_to("../../blobs/77")
    for name in ("one.safetensors", "two.safetensors", "sub/three.safetensors"):
        (repository / "snapshots" / "9abc" / name).symlink_to(repository / "blobs" / "77")
    return repository / "snapshots"


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("tiny/file", "1f2e/model.safetensors"),
        ("tiny/file/model.safetensors", "1f2e/model.safetensors"),
        ("tiny/file@main", "1f2e/model.safetensors"),
        ("tiny/file@1f2e", "1f2e/model.safetensors"),
        ("tiny/file@v2/two.safetensors", "9abc/two.safetensors"),
        ("tiny/file@v2/sub", "9abc/sub/three.safetensors"),
    ],
)
def test_a_file_of_a_repository_is_named(repository: Path, tmp_path: Path, text: str, file: str) -> None:
    """By its path, or by the repository alone where it is the only one; at any revision that is in the cache."""
    found = CHECKPOINT.resolve(text, SearchPaths(working=tmp_path))
    assert (found.root, found.family) == (repository / file, "SD1")


def test_several_files_of_a_repository_are_listed(repository: Path, tmp_path: Path) -> None:
    error = refusal(CHECKPOINT, "tiny/file@v2", tmp_path)
    assert error.code == "wrong-kind-of-file"
    assert names(error, "tiny/file@v2/one.safetensors", "tiny/file@v2/two.safetensors")


@pytest.mark.parametrize("text", ["tiny/file@v3", "tiny/file/other.safetensors", "tiny/none/a.safetensors"])
def test_what_is_not_in_the_cache_is_pulled(repository: Path, tmp_path: Path, text: str) -> None:
    error = refusal(CHECKPOINT, text, tmp_path)
    assert error.code == "not-downloaded" and f"weft models pull {text}" in error.hint


@pytest.mark.parametrize("text", ["tiny/file/../../refs/main", "tiny/file@../main", "tiny/file@v2/../1f2e"])
def test_a_name_on_the_hub_does_not_leave_its_repository(repository: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError):
        CHECKPOINT.resolve(text, SearchPaths(working=tmp_path))


@pytest.mark.parametrize("kind", ["file", "folder", "parent"])
def test_a_link_counts_as_the_place_that_it_leads_to(models: Path, tmp_path: Path, kind: str) -> None:
    """Files and folders alike: refused with the place, found and listed where that may be read."""
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "models"
    shutil.copytree(models / "clip", elsewhere / "clip")
    save_file(layouts.sd1(models / "clip"), elsewhere / "clip.safetensors")
    folder.mkdir()
    name = {"file": "clip.safetensors", "folder": "clip", "parent": "more/clip"}[kind]
    (folder / name.split("/")[0]).symlink_to(elsewhere if kind == "parent" else elsewhere / name)
    error = refusal(CHECKPOINT, name, folder)
    assert error.code == "outside-folders" and names(error, folder / name.split("/")[0], folder)
    closed, open_ = (SearchPaths(working=folder, models=found) for found in ((folder,), (folder, elsewhere)))
    assert CHECKPOINT.resolve(name, open_).family == "SD1"
    assert name in {one for one, _ in CHECKPOINT.available(open_)}
    assert name not in {one for one, _ in CHECKPOINT.available(closed)}


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone.safetensors").symlink_to(tmp_path / "was-here")
    error = refusal(CHECKPOINT, "gone.safetensors", tmp_path)
    assert error.code == "outside-folders" and names(error, tmp_path / "gone.safetensors")


def test_links_in_circles_are_walked_once(models: Path, tmp_path: Path) -> None:
    (tmp_path / "clip").symlink_to(models / "clip")
    (tmp_path / "again").symlink_to(tmp_path)
    named = [name for name, _ in CHECKPOINT.available(SearchPaths(working=tmp_path, models=(tmp_path, models)))]
    assert named.count("clip") == 2 and "again/clip" not in named


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


UNREAD_ADAPTERS = {
    "OFT": ("lora_unet_mid_block_attn_to_q.oft_blocks", "lora_unet_mid_block_attn_to_q.alpha"),
    "BOFT": ("base_model.model.mid_block.attn.to_q.boft_R", "base_model.model.mid_block.attn.to_q.boft_s"),
    "GLoRA": tuple(f"lora_unet_mid_block_attn_to_q.{one}.weight" for one in ("a1", "a2", "b1", "b2")),
    "IA3": ("lora_unet_mid_block_attn_to_k.weight", "lora_unet_mid_block_attn_to_k.on_input"),
    "VeRA": ("base_model.model.mid_block.attn.to_q.vera_lambda_b",),
}
"""Names of tensors in files of LyCORIS, kohya's scripts and PEFT that are no LoRA."""


@pytest.mark.parametrize("form", UNREAD_ADAPTERS)
@pytest.mark.parametrize("source", [LoRASource(), CHECKPOINT])
def test_an_adapter_of_another_form_is_named(tmp_path: Path, source: Any, form: str) -> None:
    header_only(tmp_path / "style.safetensors", *UNREAD_ADAPTERS[form])
    error = refusal(source, "style.safetensors", tmp_path)
    assert error.code == "wrong-kind-of-file" and names(error, form)
    assert names(error, "LoHa")


def test_half_of_a_tiny_autoencoder_is_called_so(tmp_path: Path) -> None:
    header_only(tmp_path / "taesd_decoder.safetensors", "1.weight", "3.conv.0.weight")
    error = refusal(CHECKPOINT, "taesd_decoder.safetensors", tmp_path)
    assert error.code == "wrong-kind-of-file" and names(error, "TAESD", "LoadVAE")
