"""A model's folder may come from anybody: no file of it leads out of the folders of a run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.refusals import refused
from weft.engine import Resolved, SearchPaths
from weft.nodes import builtin
from weft.nodes.families.sources import CheckpointSource, DenoiserSource, TextEncoderSource
from weft.nodes.families.tokenizer_source import TokenizerSource
from weft.nodes.models.loading import own_config
from weft.nodes.prompting.clip_tokenizer import clip_tokenizer
from weft.nodes.prompting.tokenizers import copied, load_tokenizer


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder within a folder of models; what lies next to that is outside."""
    (tmp_path / "outside").mkdir()
    return Path(shutil.copytree(builtin.path("landscapes"), tmp_path / "models" / "model"))


def found(model: Path, *others: Path) -> Resolved:
    """The model, as a run has it that may read its folder of models."""
    return CheckpointSource().resolve("model", SearchPaths(working=model.parent, models=(model.parent, *others)))


def moved(path: Path, folder: Path) -> Path:
    """Move a file or folder elsewhere, and leave a link."""
    path.rename(folder / path.name)
    path.symlink_to(folder / path.name)
    return folder / path.name


FILES = ("unet/config.json", "vae/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json", "unet", "tokenizer")


@pytest.mark.parametrize("name", [*FILES, "preview.json", "scheduler/scheduler_config.json"])
def test_a_link_leads_where_the_run_may_read_or_is_refused(name: str, model: Path, tmp_path: Path) -> None:
    whole = found(model).root
    moved(model / name, tmp_path / "outside")
    with refused("outside-folders", tmp_path / "outside"):
        found(model)
    assert found(model, tmp_path / "outside").root == whole


def test_links_within_the_folder_of_models_are_followed(model: Path) -> None:
    (model.parent / "shared").mkdir()
    moved(model / "vae", model.parent / "shared")
    moved(model / "unet" / "config.json", model.parent / "shared")
    assert found(model).family == "SD1"


def test_a_snapshot_of_the_hubs_cache_links_to_its_blobs(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "hub" / "models--tiny--painter"
    for folder in ("blobs", "refs", "snapshots"):
        (repository / folder).mkdir(parents=True)
    (repository / "refs" / "main").write_text("1f2e")
    model.rename(repository / "snapshots" / "1f2e")
    for number, path in enumerate(sorted((repository / "snapshots").rglob("*.*"))):
        if path.is_file():
            path.rename(repository / "blobs" / str(number))
            path.symlink_to(os.path.relpath(repository / "blobs" / str(number), path.parent))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    places = SearchPaths(working=tmp_path / "outside")
    assert CheckpointSource().resolve("tiny/painter", places).family == "SD1"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "another"))
    snapshots = SearchPaths(working=tmp_path / "outside", models=(repository / "snapshots",))
    assert CheckpointSource().resolve("1f2e", snapshots).family == "SD1"


def test_a_link_to_nothing_is_named(model: Path) -> None:
    path = model / "unet" / "diffusion_pytorch_model.safetensors"
    path.unlink()
    path.symlink_to(model.parent / "gone.safetensors")
    with refused("missing-weights", "unet/diffusion_pytorch_model.safetensors"):
        found(model)


@pytest.mark.parametrize("name", FILES[:3])
@pytest.mark.parametrize("put", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_what_is_no_file_is_refused_before_it_is_read(name: str, put: Callable[[Path], None], model: Path) -> None:
    (model / name).unlink()
    put(model / name)
    with refused("wrong-kind-of-file" if put is os.mkfifo else "outside-folders"):
        found(model)


def test_a_pipe_in_place_of_a_model_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    with refused("wrong-kind-of-file", "pipe.safetensors"):
        CheckpointSource().resolve("pipe.safetensors", SearchPaths(working=tmp_path))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("unet/config.json", "unreadable-resource"),
        ("scheduler/scheduler_config.json", "unreadable-resource"),
        ("unet/diffusion_pytorch_model.safetensors", "damaged-file"),
    ],
)
def test_a_sparse_giant_is_refused_before_it_is_read(name: str, code: str, model: Path) -> None:
    with (model / name).open("r+b") as file:
        file.truncate(2**42)
    with refused(code):
        found(model)


def indexed(model: Path, *names: object) -> None:
    """Write an index of the text encoder that names these files."""
    table = {f"weight_{number}": name for number, name in enumerate(names)}
    text = json.dumps({"metadata": {}, "weight_map": table})
    (model / "text_encoder" / "model.safetensors.index.json").write_text(text)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../../../outside/model.safetensors", "outside-folders"),
        ("/outside/model.safetensors", "outside-folders"),
        ("sub/model-00001-of-00002.safetensors", "outside-folders"),
        ("..\\model-00001-of-00002.safetensors", "outside-folders"),
        ("other.safetensors", "outside-folders"),
        ("model.safetensors\n", "outside-folders"),
        ("", "outside-folders"),
        ("pytorch_model.bin", "pickle-refused"),
        ("weights.PT", "pickle-refused"),
        (5, "damaged-file"),
        (None, "damaged-file"),
    ],
)
def test_an_index_names_weights_of_its_folder_only(name: object, code: str, model: Path) -> None:
    indexed(model, "model-00001-of-00002.safetensors", name)
    with refused(code):
        found(model)
    places = SearchPaths(working=model.parent)
    with refused(code):
        TextEncoderSource().resolve("model/text_encoder", places)


def test_indices_of_published_names_are_read(model: Path) -> None:
    indexed(model, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.fp16.safetensors")
    (model / "text_encoder" / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": "a.bin"}}))
    assert found(model).family == "SD1"


def test_a_configuration_that_loads_another_model_is_refused(model: Path) -> None:
    (model / "text_encoder" / "adapter_config.json").write_text('{"base_model_name_or_path": "/outside"}')
    with refused("wrong-kind-of-file", "text_encoder/adapter_config.json"):
        found(model)


@pytest.mark.parametrize("name", ["layers_per_block", "num_layers", "transformer_layers_per_block"])
def test_a_configuration_of_a_million_layers_is_refused(name: str, model: Path) -> None:
    path = model / "unet" / "config.json"
    for value in (10**6, [1] * 10**4):
        path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
        with refused("damaged-file", name):
            DenoiserSource().resolve("model/unet", SearchPaths(working=model.parent))


def test_parts_and_tokenizers_follow_the_same_rule(model: Path, tmp_path: Path) -> None:
    moved(model / "tokenizer" / "vocab.json", tmp_path / "outside")
    sources = {
        "model/text_encoder": TextEncoderSource(),
        "model": TokenizerSource(),
        "model/tokenizer": TokenizerSource(),
    }
    for text, source in sources.items():
        with refused("outside-folders", tmp_path / "outside"):
            source.resolve(text, SearchPaths(working=model.parent))


def test_entries_of_configurations_that_name_other_files_are_left_out(model: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside" / "vocab.json"
    outside.write_text((model / "tokenizer" / "vocab.json").read_text())
    path = model / "tokenizer" / "tokenizer_config.json"
    given = {
        "vocab_file": str(outside),
        "tokenizer_file": str(outside),
        "auto_map": {"AutoTokenizer": ["x--y.Z", None]},
    }
    path.write_text(json.dumps({**json.loads(path.read_text()), **given, "name_or_path": str(outside)}))
    with copied(model / "tokenizer") as copy:
        assert {one.name for one in copy.iterdir()} == {one.name for one in (model / "tokenizer").iterdir()}
        assert not given.keys() & json.loads((copy / "tokenizer_config.json").read_text()).keys()
        assert str(outside) not in (copy / "tokenizer_config.json").read_text()
    assert not copy.exists()
    assert load_tokenizer(model / "tokenizer", "").vocab_size and clip_tokenizer(model / "tokenizer").vocab_size


def test_a_configuration_of_a_text_model_names_no_code() -> None:
    names = {
        "auto_map": {"A": "b--c.D"},
        "attn_implementation": "org/kernel",
        "transformers_weights": "../x.safetensors",
    }
    assert own_config({"hidden_size": 4, **names, "text_config": {**names, "layers": 2}}) == {
        "hidden_size": 4,
        "text_config": {"layers": 2},
    }


def test_a_tokenizer_that_is_damaged_is_named(model: Path) -> None:
    for content in ("{}", "[", '{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": -1}, "merges": [["a"]]}}'):
        (model / "tokenizer" / "tokenizer.json").write_text(content)
        with refused("damaged-file", "tokenizer.json"):
            load_tokenizer(model / "tokenizer" / "tokenizer.json", "another one")
