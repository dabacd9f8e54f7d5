"""Missing and damaged shards are found from names and headers, with their names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.refusals import names, refused
from weft.engine import SearchPaths
from weft.nodes.families.sources import CheckpointSource, DenoiserSource
from weft.nodes.models.shards import check_shards

FIRST, SECOND = (f"diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2))
INDEX = "diffusion_pytorch_model.safetensors.index.json"


@pytest.fixture
def sharded(models: Path, tmp_path: Path) -> Path:
    """A checkpoint whose UNet is cut into two shards."""
    folder = Path(shutil.copytree(models / "epsilon", tmp_path / "sharded"))
    whole = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(whole)
    whole.unlink()
    half = len(tensors) // 2
    places = {name: FIRST if number < half else SECOND for number, name in enumerate(tensors)}
    for shard in (FIRST, SECOND):
        save_file({name: tensors[name] for name in tensors if places[name] == shard}, folder / "unet" / shard)
    (folder / "unet" / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def resolve(folder: Path) -> Any:
    places = SearchPaths(working=folder.parent, models=(folder.parent,))
    DenoiserSource().resolve(f"{folder.name}/unet", places)
    return CheckpointSource().resolve(folder.name, places)


def test_whole_shards_are_read(sharded: Path) -> None:
    assert {path.name for path in resolve(sharded).files} >= {FIRST, SECOND, INDEX}


def test_an_index_of_a_variant_that_is_not_there_does_no_harm(sharded: Path) -> None:
    index = (sharded / "unet" / INDEX).read_text()
    (sharded / "unet" / INDEX.replace("index.", "index.fp16.")).write_text(index.replace("2.safe", "2.fp16.safe"))
    assert resolve(sharded).family == "SD1"


@pytest.mark.parametrize("indexed", [True, False])
def test_a_missing_shard_is_named(sharded: Path, indexed: bool) -> None:
    (sharded / "unet" / SECOND).unlink()
    if not indexed:
        (sharded / "unet" / INDEX).unlink()
    with refused("missing-weights", "unet", SECOND):
        resolve(sharded)


def test_a_shard_without_its_tensors_is_damage(sharded: Path) -> None:
    tensors = load_file(sharded / "unet" / FIRST)
    lost = sorted(tensors)[0]
    save_file({name: one for name, one in tensors.items() if name != lost}, sharded / "unet" / FIRST)
    with refused("missing-weights", "unet", lost):
        resolve(sharded)


def test_a_shard_that_is_cut_off_is_named(sharded: Path) -> None:
    shard = sharded / "unet" / SECOND
    shard.write_bytes(shard.read_bytes()[:-7])
    with refused("damaged-file", SECOND):
        resolve(sharded)


@pytest.mark.parametrize("index", ["{}", '{"weight_map": []}', '{"weight_map": {"conv_in.weight": 3}}', "[1"])
def test_an_index_that_is_none_is_damage(sharded: Path, index: str) -> None:
    (sharded / "unet" / INDEX).write_text(index)
    with refused("damaged-file", f"unet/{INDEX}"):
        resolve(sharded)


def test_a_long_list_of_missing_shards_is_cut(tmp_path: Path) -> None:
    with pytest.raises(Exception) as caught:
        check_shards(tmp_path, "", {"model-00002-of-99999.safetensors": []})
    error: Any = caught.value
    assert names(error, "model-00001-of-99999.safetensors") and len(error.message) < 400
