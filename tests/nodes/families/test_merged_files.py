"""`weft models merge`: files in the layout of the first source, that load as the sums of what was merged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.nodes.families import lora_files as files
from tests.nodes.families.other_weights import with_other_weights
from tests.refusals import refused
from weft.engine import Context, SearchPaths
from weft.engine.cli import call as weft
from weft.engine.weights.merge_request import MergeRequest
from weft.nodes import ApplyLoRA, LoadCheckpoint, LoadLoRA
from weft.nodes.families.sources import DenoiserSource
from weft.nodes.models.stored_weights import weights_of

Zoo = Callable[[str], str]

Call = Callable[..., Any]

RATIO = 0.3

FORMS = (
    "sd2.safetensors",
    "sd3.safetensors",  # with a tokenizer that lies next to it
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            *("sd2", "sdxl", "sdxl.safetensors", "sd3", "sd35.safetensors", "flux-dev.safetensors"),
            *("flux-dev", "z-image", "qwen-image", "dit"),
        )
    ),
)
"""`pytest -m slow tests/nodes/families/test_merged_files.py` tries every family and layout."""


Weights = dict[str, Tensor]


@pytest.fixture
def read(call: Call, context: Context) -> Callable[[str], Weights]:
    """The weights of all parts of a checkpoint."""

    def weights(name: str) -> Weights:
        checkpoint, found = call(LoadCheckpoint, source=name), dict[str, Tensor]()
        for part in ("model", "vae") if name.partition("-m")[0] == "dit" else ("model", "text_encoder", "vae"):
            with context.weights(getattr(checkpoint, part)) as module:
                found |= {f"{part}.{key}": one.clone() for key, one in weights_of(module).items()}
        return found

    return weights


def merge(models: Path, first: str, out: str, **options: Any) -> Path:
    """Write a merge into the models folder."""
    request = MergeRequest(first, models / out, **options)
    return DenoiserSource().merge(request, SearchPaths(models=(models,)))


@pytest.mark.parametrize("name", FORMS)
def test_a_merged_file_is_the_sum_of_its_sources_in_their_layout(
    name: str, models: Path, zoo: Zoo, read: Callable[[str], Weights]
) -> None:
    second, out = with_other_weights(models, zoo(name)), f"{name.partition('.')[0]}-m{Path(name).suffix}"
    made = merge(models, name, out, mixed=((second, RATIO),), everything=True, precision="float32")
    a, b, found = read(name), read(second), read(out)
    assert found.keys() == a.keys()
    assert [key for key in a if not torch.equal(found[key], (1 - RATIO) * a[key] + RATIO * b[key])] == []
    for path in [made] if made.is_file() else made.rglob("*.safetensors"):
        before = models / name / path.relative_to(made)
        with safe_open(path, "pt") as ours, safe_open(before, "pt") as theirs:
            shapes = [{key: one.get_slice(key).get_shape() for key in one.keys()} for one in (ours, theirs)]  # noqa: SIM118
            assert shapes[0] == shapes[1]
    if made.is_dir():
        assert {one.relative_to(made) for one in made.rglob("*")} == {
            one.relative_to(models / name) for one in (models / name).rglob("*")
        }


def test_the_precision_of_the_first_source_stays_and_sums_are_rounded_once(models: Path, zoo: Zoo) -> None:
    name = zoo("sd2.safetensors")
    second = with_other_weights(models, name)
    made = merge(models, name, "sd2-halves.safetensors", mixed=((second, 0.3), (second, 0.5)))
    a, b, found = (load_file(path) for path in (models / name, models / second, made))
    for key, one in found.items():
        total = (1 - 0.5) * ((1 - 0.3) * a[key].float() + 0.3 * b[key].float()) + 0.5 * b[key].float()
        kept = key.startswith("first_stage_model.") or "resblocks.2." in key  # the VAE, and a layer that nothing reads
        assert torch.equal(one, a[key] if kept else total.half()), key


def test_the_metadata_say_what_was_merged(models: Path, zoo: Zoo, read: Callable[[str], Weights]) -> None:
    name, marked = zoo("sd2.safetensors"), models / "marked.safetensors"
    old = {"modelspec.prediction_type": "v", "sshs_model_hash": "0", "modelspec.title": "one"}
    save_file(load_file(models / name), marked, old)
    options = {"added": ((with_other_weights(models, name), 0.5),), "minus": name, "blocks": "M00=0"}
    made = merge(models, marked.name, "sd2-marked.safetensors", **options)
    with safe_open(made, "pt") as file:
        metadata = file.metadata()
    assert "sshs_model_hash" not in metadata and metadata["modelspec.title"] == "one"
    record = json.loads(metadata["weft.merge"])
    assert record["first"]["source"] == marked.name and record["added"][0]["factor"] == 0.5
    assert record["minus"]["source"] == name and len(record["minus"]["blake3"]) == 64
    a, found = read(marked.name), read(made.name)
    middle = [key for key in a if key.startswith("model.mid_block")]
    assert middle and all(torch.equal(a[key], found[key]) for key in middle)


def test_a_lora_is_merged_into_a_file_and_a_folder_into_a_file(
    models: Path, zoo: Zoo, call: Call, context: Context, read: Callable[[str], Weights]
) -> None:
    name, lora = zoo("sd2.safetensors"), models / "for-files.safetensors"
    first, adapter = call(LoadCheckpoint, source=name), dict[str, Tensor]()
    with context.weights(first.model) as denoiser, context.weights(first.text_encoder) as encoder:
        adapter |= files.peft(files.low_rank(denoiser.network, 1), "unet.")
        adapter |= files.peft(files.low_rank(encoder.readers[0].network, 2), "text_encoder.")
    save_file({key: one.clone() for key, one in adapter.items()}, lora)
    made = merge(
        models,
        name,
        "sd2-lora.safetensors",
        mixed=((with_other_weights(models, "sd2"), 0.25),),
        adapters=((lora.name, 0.8),),
        precision="float32",
    )
    a, b, found = read(name), read(with_other_weights(models, "sd2")), read(made.name)
    parts = {"model": first.model, "text_encoder": first.text_encoder}
    adapted = call(ApplyLoRA, lora=call(LoadLoRA, source=lora.name), **parts, strength=0.8)
    for part in parts:
        with context.weights(getattr(adapted, part)) as module:
            for key, one in weights_of(module).items():
                own = f"{part}.{key}"
                mixed = (1 - 0.25) * a[own] + 0.25 * b[own]
                assert torch.allclose(found[own], mixed + (one - a[own]), atol=1e-6), own


def test_what_is_there_stays_unless_it_may_be_replaced(models: Path, zoo: Zoo, capsys: Any) -> None:
    name = zoo("sd2.safetensors")
    out = models / "taken.safetensors"
    out.write_bytes(b"mine")
    arguments = ["models", "merge", name, "--mix", f"{name}=0.5", "--out", str(out), "--models", str(models)]
    assert weft(arguments) == 2 and out.read_bytes() == b"mine"
    assert weft([*arguments, "--force"]) == 0 and load_file(out)
    assert capsys.readouterr().out.strip() == str(out)
    folder = models / "taken-folder"
    folder.mkdir()
    (folder / "mine").touch()
    with refused("name-taken"):
        merge(models, "epsilon", folder.name, mixed=(("epsilon", 0.5),))
    merge(models, "epsilon", folder.name, mixed=(("epsilon", 0.5),), replace=True)
    assert not (folder / "mine").exists() and (folder / "model_index.json").is_file()
    assert not [*models.glob(".*")]


@pytest.mark.parametrize(
    ("first", "options", "code"),
    [
        ("epsilon", {}, "missing-input"),
        ("epsilon", {"mixed": (("epsilon", 0.5),), "minus": "epsilon"}, "missing-input"),
        ("epsilon", {"mixed": (("v_prediction", 0.5),)}, "wrong-prediction"),
        ("epsilon", {"mixed": (("nowhere", 0.5),)}, "unknown-model"),
        ("epsilon", {"mixed": (("epsilon", 0.5),), "blocks": "IN77=1"}, "unknown-layer"),
        ("epsilon", {"mixed": (("epsilon", 0.5),), "precision": "int8"}, "unknown-choice"),
        ("epsilon", {"mixed": (("epsilon", 1e30),)}, "out-of-range"),
        ("epsilon", {"adapters": (("elsewhere.safetensors", 1e30),)}, "out-of-range"),
        ("epsilon", {"adapters": (("elsewhere.safetensors", 1.0),)}, "wrong-lora"),
        ("epsilon", {"mixed": (("sd2", 0.5),)}, "family-mismatch"),
        ("sd2.safetensors", {"mixed": (("sd2", 0.5),)}, "malformed-path"),
    ],
)
def test_what_cannot_be_merged_is_refused_and_writes_nothing(
    first: str, options: dict[str, Any], code: str, models: Path, zoo: Zoo
) -> None:
    zoo("sd2.safetensors")
    elsewhere = files.one("text_model.encoder.layers.0.mlp.fc1", 64, 64)
    files.save(files.kohya(elsewhere, "lora_te2_"), models / "elsewhere.safetensors")
    with refused(code):
        merge(models, first, "refused", **options)
    assert not (models / "refused").exists() and not [*models.glob(".*")]
