"""What is listed of a model besides its kind: precision, size and purpose of its training, and licence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.nodes.gguf_files import write_gguf
from weft.engine import Engine, Limits, Resolved, SearchPaths
from weft.nodes import Image, LoadCheckpoint, ScaleImageToModel
from weft.nodes.families.model_details import details
from weft.nodes.families.sources import CheckpointSource, EmbeddingSource
from weft.nodes.sizes import size_of


@pytest.mark.parametrize(("latent", "size"), [(32, "256 x 256"), ([16, 24], "192 x 128"), ("large", "512 x 512")])
def test_the_size_is_that_of_the_configuration_or_of_the_family(
    models: Path, tmp_path: Path, latent: Any, size: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for part in (models / "epsilon").iterdir():
        if part.name != "unet":
            (folder / part.name).symlink_to(part)
    (folder / "unet").mkdir()
    for part in (models / "epsilon/unet").iterdir():
        if part.name != "config.json":
            (folder / "unet" / part.name).symlink_to(part)
    config = {**json.loads((models / "epsilon/unet/config.json").read_text()), "sample_size": latent}
    (folder / "unet/config.json").write_text(json.dumps(config))
    found = CheckpointSource().resolve("model", SearchPaths(models=(tmp_path, models)))
    assert details(found) == {"precision": "float32", "size": size, "purpose": "images, predicts noise"}


def embedding(folder: Path, metadata: dict[str, str] | None = None) -> dict[str, str]:
    """The details of a file in a folder."""
    save_file({"emb_params": torch.zeros(1, 4)}, folder / "word.safetensors", metadata)
    return details(EmbeddingSource().resolve("word.safetensors", SearchPaths(models=(folder,))))


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlanguage: en\nlicense: mit\ntags:\n- license: x\n---\n# A model\n", "mit"),
        ('---\r\nlicense: "openrail++"\r\n---\r\n', "openrail++"),
        ("---\nlicense: other\nlicense_name: flux-1-dev\n---\n", "flux-1-dev"),
        ("---\nlicense: other\n---\n", "other"),
        ("# A model\nlicense: mit\n", ""),
    ],
)
def test_the_licence_is_that_of_the_card_next_to_it(tmp_path: Path, card: str, licence: str) -> None:
    (tmp_path / "README.md").write_text(card, newline="")
    assert embedding(tmp_path).get("licence", "") == licence


def test_a_header_that_names_a_licence_comes_first(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    named = {"modelspec.license": "CreativeML  Open RAIL-M"}
    assert embedding(tmp_path, named) == {"precision": "float32", "licence": "CreativeML Open RAIL-M"}
    assert len(embedding(tmp_path, {"license": "x" * 1000})["licence"]) == 60


def test_models_that_come_with_weft_have_its_licence() -> None:
    with Engine(store=None, device="cpu") as engine:
        found = CheckpointSource().resolve("builtin:landscapes", engine.places())
    wanted = {"precision": "float16", "size": "128 x 128", "purpose": "images, predicts noise", "licence": "apache-2.0"}
    assert details(found) == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("sd2", "images, predicts v"), ("flux-dev", "images, predicts flow"), ("sdxl", "images, predicts noise")],
)
def test_the_purpose_is_what_is_read_and_what_is_predicted(name: str, wanted: str, zoo: Any, models: Path) -> None:
    with Engine(store=None, device="cpu", models=[models]) as engine:
        assert details(CheckpointSource().resolve(zoo(name), engine.places()))["purpose"] == wanted


def test_licences_of_the_setting_are_refused_at_the_check() -> None:
    graph = Path(__file__).parents[3] / "graphs" / "text_to_image.json"
    with Engine(store=None, device="cpu", limits=Limits(refused_licences=("Apache-2.0",))) as engine:
        assert {problem.code for problem in engine.check(graph).problems} == {"refused-licence"}
    with Engine(store=None, device="cpu", limits=Limits(refused_licences=("unknown",))) as engine:
        assert not engine.check(graph).problems


@pytest.mark.parametrize("name", ["sdxl", "sdxl.safetensors", "sd2.safetensors", "flux-dev"])
def test_pictures_are_scaled_to_the_size_that_the_list_says(name: str, zoo: Any, models: Path, call: Any) -> None:
    with Engine(store=None, device="cpu", models=[models]) as engine:
        found = CheckpointSource().resolve(zoo(name), engine.places())
    picture = Image(torch.rand(1, 8, 8, 3))
    scaled = call(ScaleImageToModel, image=picture, model=call(LoadCheckpoint, source=zoo(name)).model, fit="stretch")
    assert details(found)["size"] == str(size_of(scaled.pixels))


def test_the_precision_is_that_of_most_numbers(tmp_path: Path) -> None:
    found = {"x.weight": torch.zeros(64, 64), "x.bias": torch.zeros(64)}
    save_file({name: one.bfloat16() for name, one in found.items()}, tmp_path / "half.safetensors")
    eight = {"x.weight": found["x.weight"].to(torch.float8_e4m3fn), "x.scale_weight": torch.ones(1)}
    save_file({**found, **eight}, tmp_path / "scaled.safetensors")
    write_gguf(tmp_path / "blocks.gguf", found, "Q8_0", "flux")
    listed = {
        path.name: details(Resolved(path.name, path, (path,), kind="denoiser"))["precision"]
        for path in sorted(tmp_path.iterdir())
    }
    assert listed == {
        "blocks.gguf": "Q8_0 (GGUF)",
        "half.safetensors": "bfloat16",
        "scaled.safetensors": "fp8 (e4m3) with scales",
    }
