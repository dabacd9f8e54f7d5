"""Single files that say how they were trained paint what a folder paints whose configuration says the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.nodes.families.single_files import SINGLE_FILES
from tests.nodes.layouts import Tensors, sd1
from tests.refusals import names, refused
from weft.engine import Engine, Graph
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, LoadDiffusionModel, TextEncode
from weft.nodes.families import of_checkpoint, of_denoiser
from weft.nodes.models.contents import Contents

EMPTY = torch.empty(0)

EDM = {"sigma_min": 0.002, "num_train_timesteps": 1000}

PLAYGROUND = {**EDM, "_class_name": "EDMDPMSolverMultistepScheduler", "sigma_max": 80.0, "sigma_data": 0.5}

COSXL = {
    **EDM,
    "_class_name": "EDMEulerScheduler",
    "sigma_max": 90.0,
    "sigma_data": 1.0,
    "prediction_type": "v_prediction",
    "sigma_schedule": "exponential",
}

MEAN, DEVIATION = [-1.5, 0.2, 0.1, 1.1], [8.5, 5.5, 7.0, 5.25]

MARKED: dict[str, tuple[Tensors, dict[str, Any], dict[str, Any]]] = {
    "v": ({"v_pred": EMPTY}, {"prediction_type": "v_prediction"}, {}),
    "zero-snr": (
        {"v_pred": EMPTY, "ztsnr": EMPTY},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
        {},
    ),
    "cosxl": ({"edm_vpred.sigma_min": torch.tensor(0.002), "edm_vpred.sigma_max": torch.tensor(90.0)}, COSXL, {}),
    "playground": (
        {"edm_mean": torch.tensor(MEAN).reshape(1, 4, 1, 1), "edm_std": torch.tensor(DEVIATION).reshape(1, 4, 1, 1)},
        PLAYGROUND,
        {"scaling_factor": 0.5, "latents_mean": MEAN, "latents_std": DEVIATION},
    ),
}
"""Tensors that say how a file was trained, and what a folder's configurations of scheduler and VAE say instead."""


def put(models: Path, name: str, found: Tensors, metadata: dict[str, str] | None = None) -> str:
    save_file(found, models / f"{name}.safetensors", metadata=metadata)
    return f"{name}.safetensors"


def configured(models: Path, model: str, name: str, scheduler: dict[str, Any], vae: dict[str, Any]) -> str:
    """A copy of a folder with other entries in its configurations; of a class with another name, these alone."""
    folder = shutil.copytree(models / model, models / name, dirs_exist_ok=True)
    for file, given in (("scheduler/scheduler_config.json", scheduler), ("vae/config.json", vae)):
        own = {} if "_class_name" in given else json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(own | given))
    return name


@pytest.fixture(scope="module")
def plain(zoo: Any, weft_paints: Any) -> Any:
    """What the same weights paint where nothing says how they were trained."""
    return weft_paints(zoo("sdxl"), sampler="model")


@pytest.mark.parametrize("mark", MARKED)
def test_a_marked_file_paints_what_its_folder_paints(
    zoo: Any, weft_paints: Any, models: Path, plain: Any, mark: str
) -> None:
    tensors, scheduler, vae = MARKED[mark]
    file = put(models, f"marked-{mark}", {**SINGLE_FILES["sdxl"](models / zoo("sdxl")), **tensors})
    folder = configured(models, "sdxl", f"marked-{mark}", scheduler, vae)
    wanted, painted = (weft_paints(one, sampler="model") for one in (folder, file))
    assert numpy.array_equal(painted, wanted) and not numpy.array_equal(painted, plain)


STATED: dict[str, tuple[dict[str, str], str]] = {
    "v": ({"modelspec.prediction_type": "v"}, "v_prediction"),
    "spelled": ({"modelspec.prediction_type": " V-Prediction "}, "v_prediction"),
    "epsilon": ({"modelspec.prediction_type": "epsilon"}, "epsilon"),
    "key": ({"modelspec.predict_key": "v"}, "v_prediction"),
    "kohya": ({"ss_v_parameterization": "True"}, "v_prediction"),
    "plain": ({"prediction_type": "v_prediction"}, "v_prediction"),
    "kohya's base": ({"ss_base_model_version": "sd_v2_v"}, "v_prediction"),
    "architecture": ({"modelspec.architecture": "stable-diffusion-v2-768-v/lora"}, "v_prediction"),
    "base": ({"modelspec.architecture": "stable-diffusion-v2-512"}, "epsilon"),
    "nothing": ({"modelspec.prediction_type": "None", "format": "pt"}, ""),
    "unknown": ({"modelspec.prediction_type": "rectified flow"}, "rectified flow"),
}
"""Texts in the header of a file, and the prediction that they mean; empty where it is the family's."""


@pytest.mark.parametrize("stated", STATED)
@pytest.mark.parametrize(("model", "usual"), [("clip", "epsilon"), ("sd2", "v_prediction"), ("sdxl", "epsilon")])
def test_metadata_say_what_a_file_predicts(zoo: Any, models: Path, model: str, usual: str, stated: str) -> None:
    metadata, prediction = STATED[stated]
    folder = models / (model if model == "clip" else zoo(model))
    file = models / f"{model}-stated.safetensors"
    if not file.exists():
        put(models, file.stem, (SINGLE_FILES.get(model) or sd1)(folder), {"modelspec.title": "a model"})
    contents = Contents.of(file)
    assert contents.metadata == {"modelspec.title": "a model"}
    facts = of_checkpoint(replace(contents, metadata=metadata))
    assert facts and facts.scheduler.get("prediction_type", "epsilon") == (prediction or usual)


def test_tensors_come_before_metadata(zoo: Any, models: Path) -> None:
    found = load_file(models / zoo("sdxl.safetensors"))
    put(models, "both", {**found, "v_pred": EMPTY}, {"modelspec.prediction_type": "epsilon"})
    facts = of_checkpoint(Contents.of(models / "both.safetensors"))
    assert facts and facts.scheduler["prediction_type"] == "v_prediction"


def test_a_denoiser_alone_says_it_too(zoo: Any, models: Path) -> None:
    found = load_file(models / zoo("sdxl.safetensors"))
    unet = {name: one for name, one in found.items() if name.startswith("model.diffusion_model.")}
    put(models, "alone", {**unet, "v_pred": EMPTY, "ztsnr": EMPTY}, {"ss_zero_terminal_snr": "True"})
    facts = of_denoiser(Contents.of(models / "alone.safetensors"))
    assert facts and facts.scheduler["prediction_type"] == "v_prediction" and facts.scheduler["rescale_betas_zero_snr"]


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model."])
def test_marks_may_stand_among_the_tensors_of_the_unet(zoo: Any, models: Path, tmp_path: Path, prefix: str) -> None:
    found = load_file(models / zoo("sdxl.safetensors"))
    for mark, entry in (("v_pred", "v_prediction"), ("edm_vpred.sigma_max", 90.0)):
        save_file({**found, prefix + mark: torch.tensor(90.0)}, tmp_path / "marked.safetensors")
        facts = of_checkpoint(Contents.of(tmp_path / "marked.safetensors"))
        assert facts and entry in (facts.scheduler["prediction_type"], facts.scheduler.get("sigma_max"))


@pytest.mark.parametrize("name", ["edm_mean", "edm_std"])
def test_half_of_the_statistics_of_latents_is_refused(zoo: Any, models: Path, name: str) -> None:
    put(models, "half", {**load_file(models / zoo("sdxl.safetensors")), name: torch.tensor(MEAN)})
    with refused("missing-weights", "edm_mean", "edm_std"):
        of_checkpoint(Contents.of(models / "half.safetensors"))


def sampled(source: str, sampler: Any, **training: Any) -> Graph:
    """A graph that samples with a checkpoint."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint(source, **training)
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a red house"))
        graph.output("latent", KSampler(guide, EmptyLatent(64, 64), steps=3, sampler=sampler))
    return graph


@pytest.mark.parametrize("sampler", ["ddim", "euler", "dpmpp_2m"])
def test_zero_terminal_snr_can_be_asked_for(engine: Engine, models: Path, sampler: str) -> None:
    training = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    folder = configured(models, "v_prediction", "zero-snr", training, {})
    spaced = configured(models, "v_prediction", "trailing", {"timestep_spacing": "trailing"}, {})
    wanted, asked, plain, turned_off = (
        engine.run(sampled(name, sampler, terminal_snr=given)).outputs["latent"].samples
        for name, given in ((folder, "checkpoint"), (spaced, "zero"), (spaced, "checkpoint"), (folder, "nonzero"))
    )
    assert torch.equal(asked, wanted) and torch.equal(plain, turned_off) and not torch.equal(asked, plain)


@pytest.mark.parametrize("sampler", ["pndm", "heun", "model"])
def test_a_sampler_that_cannot_end_in_noise_alone_is_refused(engine: Engine, models: Path, sampler: str) -> None:
    (problem,) = engine.check(sampled("v_prediction", sampler, terminal_snr="zero")).problems
    assert problem.code == "sampler-cannot-follow" and names(problem, "ddim", "euler")


def test_a_flow_has_no_choice_of_terminal_snr(zoo: Any, engine: Engine) -> None:
    with Graph() as graph:
        graph.output("model", LoadDiffusionModel(f"{zoo('sd3')}/transformer", terminal_snr="zero"))
    (problem,) = engine.check(graph).problems
    assert (problem.code, problem.input) == ("unsupported-by-model", "terminal_snr")


def test_an_unknown_prediction_is_refused_until_it_is_set(zoo: Any, engine: Engine, models: Path) -> None:
    name = put(models, "odd", load_file(models / zoo("sdxl.safetensors")), {"modelspec.prediction_type": "flow"})
    problems = engine.check(sampled(name, "euler")).problems
    assert {problem.code for problem in problems} == {"unknown-prediction"} and names(problems[0], "flow")
    assert not engine.check(sampled(name, "euler", prediction="v_prediction")).problems


@pytest.mark.parametrize(
    "marks",
    [
        {"edm_mean": torch.zeros(3), "edm_std": torch.ones(3)},
        {"edm_mean": torch.zeros(4), "edm_std": torch.zeros(4)},
        {"edm_mean": torch.full((4,), torch.nan), "edm_std": torch.ones(4)},
        {"edm_vpred.sigma_max": torch.tensor(0.002), "edm_vpred.sigma_min": torch.tensor(120.0)},
        {"edm_vpred.sigma_max": torch.tensor(-1.0), "edm_vpred.sigma_min": torch.tensor(0.0)},
        {"edm_vpred.sigma_max": torch.tensor(torch.nan)},
    ],
)
def test_numbers_that_cannot_be_what_they_say_are_refused(zoo: Any, models: Path, tmp_path: Path, marks: Any) -> None:
    zoo("sdxl")
    save_file({**SINGLE_FILES["sdxl"](models / "sdxl"), **marks}, tmp_path / "marked.safetensors")
    contents = Contents.of(tmp_path / "marked.safetensors")
    with refused("damaged-file"):
        of_checkpoint(contents)


@pytest.mark.parametrize(
    "entries",
    [
        {"latents_mean": [0.0] * 3, "latents_std": [1.0] * 3},
        {"latents_mean": [0.0] * 4, "latents_std": [1.0, 0.0, 1.0, 1.0]},
        {"latents_mean": "0", "latents_std": 1},
        {"scaling_factor": 0},
        {"scaling_factor": "0.18215"},
        {"shift_factor": float("inf")},
        {"scaling_factor": float("nan")},
    ],
)
def test_a_vae_without_numbers_to_scale_by_is_refused(models: Path, tmp_path: Path, entries: dict[str, Any]) -> None:
    path = Path(shutil.copytree(models / "clip", tmp_path / "model")) / "vae" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))
    with refused("damaged-file"):
        of_checkpoint(Contents.of(tmp_path / "model"))
