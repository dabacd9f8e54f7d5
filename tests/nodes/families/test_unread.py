"""Tensors and configuration entries that nothing reads are named, in the check or as they are loaded, and no others."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.nodes.families.single_files import SINGLE_FILES
from tests.nodes.layouts import CONTROL, Tensors, renamed, sd1, weights, z_image
from tests.refusals import names
from weft.engine import Engine, Graph, NodeType, Notice, SearchPaths
from weft.engine.notices import receiving
from weft.nodes import LoadCheckpoint, TextEncode
from weft.nodes.families import FAMILIES, family
from weft.nodes.families.sources import (
    CheckpointSource,
    ControlNetSource,
    DenoiserSource,
    ModelSource,
    TextEncoderSource,
)
from weft.nodes.models.facts import CheckpointFacts, ControlNetFacts, TextSourceFacts
from weft.nodes.models.vae_formats import load_autoencoder
from weft.nodes.prompting.encoder_loading import load_whole
from weft.nodes.prompting.text_encoders import TextModelFiles

EXTRA = torch.ones(2, 2)

CHECKPOINT, DENOISER, TEXT, CONTROL_NET = CheckpointSource(), DenoiserSource(), TextEncoderSource(), ControlNetSource()


def given(models: Path, name: str, source: ModelSource = CHECKPOINT) -> list[Notice]:
    """The notices of a source, and of loading every part of it."""
    found = source.resolve(name, SearchPaths(working=models, models=(models,)))
    notices = [*found.notices]
    options: Any = (torch.float32, "cpu")
    with receiving(notices.append):
        if isinstance(found.facts, CheckpointFacts):
            known = family(found.facts.family)
            known.network.load(found.facts.network, found.root, "", torch.float32)
            if source is CHECKPOINT and known.vae and found.facts.vae:
                load_autoencoder(known.vae, found.facts.vae, found.root, "", *options)
            if source is CHECKPOINT:
                load_whole(known, found, "", *options)
        elif isinstance(found.facts, ControlNetFacts):
            net = family(found.facts.family).control_format(found.facts)
            net.load(found.facts.network, found.root, "", torch.float32)
        else:
            assert isinstance(found.facts, TextSourceFacts)
            (model,) = found.facts.models
            text = next(one for one in family("SD3").texts if one.kind == model.kind)
            text.reader(TextModelFiles.of(found.root, model), "", *options)
    return notices


@pytest.mark.parametrize("model", ["clip", "sdxl", "sd35", "qwen-image", "dit", "consistency-classes"])
def test_nothing_is_left_of_a_folder(zoo: Any, models: Path, model: str) -> None:
    assert not given(models, model if model == "clip" else zoo(model))


FILES = ("sd2", "sdxl", "sd3", "sd35", "flux-dev")

WHOLE: dict[str, Callable[[Path], Tensors]] = {"clip": sd1, **{name: SINGLE_FILES[name] for name in FILES}}
"""How each folder becomes one file."""


def put(models: Path, zoo: Any, model: str, *extra: str) -> str:
    """A file of a model with further tensors; its name."""
    found = WHOLE[model](models / (model if model == "clip" else zoo(model)))
    name = f"extra-{model}.safetensors"
    save_file({**found, **{one: EXTRA.clone() for one in extra}}, models / name)
    return name


@pytest.mark.parametrize("model", WHOLE)
def test_nothing_is_left_of_a_file(zoo: Any, models: Path, model: str) -> None:
    expected = ("alphas_cumprod", "betas", "cond_stage_model.logit_scale")
    assert not given(models, put(models, zoo, model, *expected))


EXTRAS: dict[str, tuple[str, ...]] = {
    "clip": (
        "model_ema.decay",
        "model.diffusion_model.input_blocks.1.1.adapter.weight",
        "model.diffusion_model.more.weight",
        "first_stage_model.decoder.more.weight",
        "cond_stage_model.transformer.text_model.encoder.more.weight",
    ),
    "sd2": ("cond_stage_model.model.transformer.more.weight",),
    "sdxl": ("model.diffusion_model.label_emb.1.0.weight", "conditioner.embedders.1.model.more.weight"),
    "sd3": (
        "model.diffusion_model.joint_blocks.0.x_block.more.weight",
        "text_encoders.t5xxl.transformer.encoder.more.weight",
        "text_encoders.other.weight",
    ),
    "flux-dev": (
        "model.diffusion_model.double_blocks.9.img_mlp.0.weight",
        "vae.more.weight",
        "text_encoders.t5xxl.transformer.spiece_model",
    ),
}
"""Tensors in files of whole checkpoints that nothing reads."""


@pytest.mark.parametrize("model", EXTRAS)
def test_each_tensor_that_nothing_reads_is_named(zoo: Any, models: Path, model: str) -> None:
    notices = given(models, put(models, zoo, model, *EXTRAS[model]))
    texts = " ".join(notice.message for notice in notices)
    below = ("text_encoders.t5xxl.transformer.", "cond_stage_model.transformer.text_model.")
    assert {notice.code for notice in notices} == {"unread-tensors"}
    assert all(re.sub("|".join(below), "", name) in texts for name in EXTRAS[model])
    assert sum(int(count) for count in re.findall(r"(\d+) tensor", texts)) == len(EXTRAS[model])


PARTS: dict[str, tuple[str, ModelSource, Callable[[Path], Tensors]]] = {
    "t5": ("flux-dev", TEXT, lambda folder: weights(folder, "text_encoder_2")),
    "transformer": ("z-image", DENOISER, z_image),
    "unet": ("clip", DENOISER, lambda folder: {n: t for n, t in sd1(folder).items() if n.startswith("model.")}),
    "control_net": (
        "edges",
        CONTROL_NET,
        lambda folder: renamed(load_file(folder / "diffusion_pytorch_model.safetensors"), CONTROL, "control_model."),
    ),
}
"""Parts in files of their own: the folder that each is made from, its source, and how it is made."""


@pytest.mark.parametrize("part", PARTS)
def test_parts_alone_name_what_is_left(zoo: Any, models: Path, part: str) -> None:
    model, source, make = PARTS[part]
    found = make(models / (model if model in ("clip", "edges") else zoo(model)))
    prefix = "control_model." if part == "control_net" else ""
    for extra in ({}, {f"{prefix}more.weight": EXTRA}):
        save_file({**found, **extra}, models / "part.safetensors")
        notices = given(models, "part.safetensors", source)
        assert [notice.code for notice in notices] == ["unread-tensors"] * len(extra)
        assert all(name in notices[0].message for name in extra)


def changed(models: Path, component: str, entries: dict[str, Any], tensors: Tensors) -> str:
    """A copy of a folder with further entries and tensors of a component; its name."""
    folder = shutil.copytree(models / "clip", models / f"more-{component}", dirs_exist_ok=True)
    config = folder / component / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | entries))
    (file,) = (folder / component).glob("*.safetensors")
    save_file({**load_file(file), **tensors}, file, metadata={"format": "pt"})
    return folder.name


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_what_a_folder_has_beyond_its_classes_is_named(models: Path, component: str) -> None:
    notices = given(models, changed(models, component, {"flavour": 3}, {"more.weight": EXTRA}))
    assert [notice.code for notice in notices] == ["unread-tensors", "unread-configuration"]
    assert all(component in notice.message for notice in notices)
    assert "more.weight" in notices[0].message and "flavour" in notices[1].message


@pytest.mark.parametrize(
    ("model", "component", "entry"),
    [
        ("qwen-image", "text_encoder", "text_config"),
        ("z-image", "text_encoder", ""),
        ("flux-dev", "text_encoder_2", ""),
    ],
)
def test_unknown_entries_of_text_models_are_named(
    zoo: Any, models: Path, model: str, component: str, entry: str
) -> None:
    folder = shutil.copytree(models / zoo(model) / component, models / "entries" / model / component)
    tokenizer = component.replace("text_encoder", "tokenizer")
    shutil.copytree(models / model / tokenizer, folder.parent / tokenizer)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {"decoder_start_token_id": 0, "num_beams": 1, "vision_token_id": 3}
    path.write_text(json.dumps(config))
    assert not alone(models, folder)
    (config[entry] if entry else config)["flavour"] = 3
    path.write_text(json.dumps(config))
    (notice,) = alone(models, folder)
    assert notice.code == "unread-configuration" and "flavour" in notice.message


@pytest.mark.parametrize("config", [3, None])
def test_an_entry_of_another_kind_of_model_is_named_whatever_it_holds(models: Path, config: object) -> None:
    (notice,) = given(models, changed(models, "text_encoder", {"text_config": config}, {}))
    assert notice.code == "unread-configuration" and "text_config" in notice.message


def alone(models: Path, folder: Path) -> list[Notice]:
    """The notices of a text model in a folder of its own, loaded."""
    found = TEXT.resolve(folder.relative_to(models).as_posix(), SearchPaths(working=models, models=(models,)))
    assert isinstance(found.facts, TextSourceFacts)
    (model,) = found.facts.models
    text = next(one for known in FAMILIES for one in known.texts if one.kind == model.kind)
    notices = [*found.notices]
    with receiving(notices.append):
        text.reader(TextModelFiles.of(found.root, model), "", torch.float32, "cpu")
    return notices


def test_many_tensors_are_counted(zoo: Any, models: Path) -> None:
    (notice,) = given(models, put(models, zoo, "clip", *(f"model_ema.{index}" for index in range(20))))
    assert "20 tensors" in notice.message and "model_ema.0" in notice.message and "model_ema.9" not in notice.message


def test_the_check_and_the_run_have_them_as_warnings(zoo: Any, engine: Engine, models: Path) -> None:
    name = put(models, zoo, "clip", "outside.weight", "cond_stage_model.transformer.text_model.inside.weight")
    with Graph() as graph:
        graph.output("prompt", TextEncode(LoadCheckpoint(name).text_encoder, "a red house"))
    checked = engine.check(graph)
    (warning,) = checked.warnings
    assert not checked.problems and names(warning, "outside.weight", name)
    assert (warning.code, warning.node, warning.input) == ("unread-tensors", "load_checkpoint", "source")
    found: list[Any] = []
    result = engine.run(graph, listener=lambda event: found.append(event.plain()))
    assert [one.node for one in result.warnings] == ["load_checkpoint", "text_encode"]
    assert [one["node"] for one in found if one["event"] == "warning"] == ["load_checkpoint", "text_encode"]
    assert "inside.weight" in result.warnings[1].message and "inside.weight" in str(result)


def test_a_node_that_is_called_at_once_gives_a_python_warning(zoo: Any, models: Path, engine: Engine) -> None:
    name = put(models, zoo, "clip", "outside.weight")
    with pytest.warns(UserWarning, match="outside.weight"):
        engine.run_now(cast(NodeType, LoadCheckpoint), {"source": name})
