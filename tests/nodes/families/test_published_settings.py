"""What checkpoints say of their schedules and of their latents is read as diffusers' pipelines read it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures

from tests.nodes.conftest import read_pixels
from tests.nodes.families.single_files import sd2_file
from tests.nodes.oracle import FLOW_CLASSES, NEGATIVE, PROMPT, SCALE, SEED, SIZE, STEPS, Pixels, assert_same, diffusers
from weft.engine import Engine, Graph
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    ImageToMask,
    InpaintGuide,
    KSampler,
    LoadCheckpoint,
    LoadDiffusionModel,
    LoadImage,
    LoadVAE,
    SaveImage,
    TextEncode,
    VAEDecode,
)
from weft.nodes.families import of_checkpoint, of_denoiser
from weft.nodes.models.contents import Contents
from weft.nodes.models.revisions import reading_of

Change = Callable[..., str]

STATISTICS = {"latents_mean": [-1.57, 1.23, 0.43, -2.05], "latents_std": [3.0, 2.5, 1.5, 2.0], "scaling_factor": 0.5}
"""As Playground v2.5 has them, with smaller deviations."""

NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}

OLD: Mapping[str, Mapping[str, Any]] = {
    "ddim of the class's defaults": {"_class_name": "DDIMScheduler"},
    "ddim that clips": {"_class_name": "DDIMScheduler", "clip_sample": True, "steps_offset": 1},
    "ddpm without an offset": {"_class_name": "DDPMScheduler", "steps_offset": 0, "clip_sample": False},
    "pndm with its warm-up": {"_class_name": "PNDMScheduler", "skip_prk_steps": False},
    "lcm that clips": {"_class_name": "LCMScheduler", "clip_sample": True},
    "heun that clips": {"_class_name": "HeunDiscreteScheduler", "clip_sample": True, "timestep_spacing": "leading"},
    "singlestep": {"_class_name": "DPMSolverSinglestepScheduler"},
}
"""Configurations as schedulers and pipelines of older versions saved them."""

QUICK_OLD = (
    ("ddim of the class's defaults", None),
    ("ddim that clips", "DDIMScheduler"),
    ("pndm with its warm-up", None),
)


@pytest.fixture(scope="module")
def changed(models: Path, zoo: Any) -> Change:
    """Copies a checkpoint with other entries in the configuration of a component; the name of the copy."""

    def copy(source: str, component: str, entries: Mapping[str, Any], *, replaced: bool = False) -> str:
        name = f"{source}-{abs(hash(json.dumps(entries))):x}"
        folder = models / name
        if folder.exists():
            return name
        shutil.copytree(models / (source if (models / source).exists() else zoo(source)), folder)
        own = "scheduler_config.json" if component == "scheduler" else "config.json"
        path = folder / component / own
        path.write_text(json.dumps({**({} if replaced else json.loads(path.read_text())), **entries}))
        if "_class_name" in entries:
            index = json.loads((folder / "model_index.json").read_text())
            index[component] = ["diffusers", entries["_class_name"]]
            (folder / "model_index.json").write_text(json.dumps(index))
        return name

    return copy


def diffusers_paints(
    models: Path, name: str, kind: str, sampler: Callable[[Any], Any] | None = None, parts: Any = None, **call: Any
) -> Pixels:
    """What a pipeline class makes of a folder, with the scheduler of the folder or with another one made of it."""
    folder = models / name
    index = json.loads((folder / "model_index.json").read_text())
    without = {one: None for one, kinds in index.items() if kinds == [None, None]}
    pipe = getattr(diffusers, kind).from_pretrained(folder, **without, **(parts or {})).to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    if sampler:
        pipe.scheduler = sampler(pipe.scheduler.config)
    asked = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "guidance_scale": SCALE, "num_inference_steps": STEPS}
    made = pipe(**{**asked, **call}, generator=[torch.Generator().manual_seed(SEED)]).images
    return numpy.stack([numpy.asarray(one) for one in made])


@pytest.fixture
def mean_of_the_vae(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers' pipelines encode pictures to the mean of the VAE's distribution, as VAEEncode does."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mean)


def test_latents_are_normalised_by_channel(
    changed: Change, weft_paints: Any, models: Path, pictures: Path, mean_of_the_vae: None
) -> None:
    name = changed("sdxl", "vae", STATISTICS)
    theirs = diffusers_paints(models, name, "StableDiffusionXLPipeline", height=SIZE, width=SIZE)
    assert_same(weft_paints(name, sampler="model"), theirs)
    picture = Pictures.open(pictures / "ramp.png")
    theirs = diffusers_paints(models, name, "StableDiffusionXLImg2ImgPipeline", image=picture, strength=0.6)
    assert_same(weft_paints(name, sampler="model", image="ramp.png", denoise=0.6), theirs)


def test_a_vae_of_its_own_has_its_statistics(changed: Change, engine: Engine, weft_paints: Any) -> None:
    name = changed("sdxl", "vae", STATISTICS)
    with Graph() as graph:
        checkpoint = LoadCheckpoint("sdxl")
        prompts = [TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        latent = KSampler(
            CFGGuide(checkpoint.model, *prompts, scale=SCALE), EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS
        )
        SaveImage(VAEDecode(LoadVAE(checkpoint.model, f"{name}/vae"), latent))
    assert_same(read_pixels(engine.run(graph).paths), weft_paints(name))


def assert_repaints_as(engine: Engine, models: Path, pictures: Path, name: str, pipeline: str) -> None:
    """An inpainting model repaints a picture under a mask as a pipeline of diffusers does."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint(name)
        prompts = [TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        guide = CFGGuide(checkpoint.model, *prompts, scale=SCALE)
        guide = InpaintGuide(guide, checkpoint.vae, LoadImage("ramp.png"), ImageToMask(LoadImage("stripes.png")))
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    opened: dict[str, Any] = {
        "image": Pictures.open(pictures / "ramp.png"),
        "mask_image": Pictures.open(pictures / "stripes.png"),
    }
    size: dict[str, Any] = {"height": SIZE, "width": SIZE, "strength": 1.0}
    theirs = diffusers_paints(models, name, pipeline, **opened, **size)
    assert_same(read_pixels(engine.run(graph).paths), theirs)


@pytest.mark.parametrize("statistics", [pytest.param({}, marks=pytest.mark.slow), STATISTICS])
def test_masked_pictures_are_only_scaled(
    changed: Change,
    engine: Engine,
    models: Path,
    pictures: Path,
    mean_of_the_vae: None,
    statistics: Mapping[str, Any],
) -> None:
    name = changed("sdxl-inpaint", "vae", statistics)
    assert_repaints_as(engine, models, pictures, name, "StableDiffusionXLInpaintPipeline")


def test_latents_of_sd_1_are_not_shifted(changed: Change, weft_paints: Any, models: Path) -> None:
    name = changed("epsilon", "vae", {"shift_factor": 0.7, "latents_mean": [1.0] * 4, "latents_std": [2.0] * 4})
    theirs = diffusers_paints(models, name, "StableDiffusionPipeline", height=SIZE, width=SIZE)
    assert_same(weft_paints(name, sampler="model"), theirs)


FLOW_SOLVERS: Mapping[str, Mapping[str, Any]] = {
    "UniPCMultistepScheduler": {"flow_shift": 3.0},
    "DPMSolverMultistepScheduler": {"flow_shift": 5.0},
    "DEISMultistepScheduler": {"flow_shift": 2.0, "use_dynamic_shifting": True, "time_shift_type": "exponential"},
}
QUICK_FLOWS = (("UniPCMultistepScheduler", "unipc"), ("DPMSolverMultistepScheduler", "euler"))


SLOW = pytest.mark.slow
"""For the further cases of what has a case in the quick tests."""


@pytest.mark.parametrize(
    ("own", "sampler"),
    [
        pytest.param(own, sampler, marks=[] if (own, sampler) in QUICK_FLOWS else SLOW)
        for own in FLOW_SOLVERS
        for sampler in ("model", "euler", "unipc", "dpmpp_2m")
    ],
)
def test_a_flow_is_shifted_by_flow_shift(
    changed: Change, weft_paints: Any, models: Path, own: str, sampler: str
) -> None:
    flow = {"_class_name": own, "use_flow_sigmas": True, "prediction_type": "flow_prediction", **FLOW_SOLVERS[own]}
    name = changed("sd3", "scheduler", flow, replaced=True)

    def scheduler(config: Any) -> Any:
        given = {"shift": config.flow_shift} if sampler == "euler" else {}
        return getattr(diffusers, FLOW_CLASSES[sampler][0]).from_config(config, **given)

    by_name = scheduler if sampler != "model" else None
    theirs = diffusers_paints(models, name, "StableDiffusion3Pipeline", by_name, height=SIZE, width=SIZE)
    assert_same(weft_paints(name, sampler=sampler), theirs)


@pytest.mark.parametrize(
    ("config", "by_name"),
    [
        pytest.param(OLD[name], by_name, id=f"{name}-{by_name}", marks=[] if (name, by_name) in QUICK_OLD else SLOW)
        for name in OLD
        for by_name in (None, "DDIMScheduler", "PNDMScheduler")
    ],
)
def test_old_schedulers_are_corrected(
    changed: Change, weft_paints: Any, models: Path, config: Mapping[str, Any], by_name: str | None
) -> None:
    name = changed("epsilon", "scheduler", {**NOISE, **config}, replaced=True)
    made = getattr(diffusers, by_name).from_config if by_name else None
    theirs = diffusers_paints(models, name, "StableDiffusionPipeline", made, height=SIZE, width=SIZE)
    assert_same(weft_paints(name, sampler=by_name.removesuffix("Scheduler").lower() if by_name else "model"), theirs)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(OLD["ddim that clips"], id="ddim", marks=SLOW),
        pytest.param(OLD["pndm with its warm-up"], id="pndm"),
    ],
)
def test_inpainting_corrects_other_entries(
    changed: Change, engine: Engine, models: Path, pictures: Path, mean_of_the_vae: None, config: Mapping[str, Any]
) -> None:
    name = changed("inpaint", "scheduler", {**NOISE, **config}, replaced=True)
    assert_repaints_as(engine, models, pictures, name, "StableDiffusionInpaintPipeline")


def test_control_nets_correct_nothing(changed: Change, weft_paints: Any, models: Path, pictures: Path) -> None:
    name = changed("epsilon", "scheduler", {**NOISE, **OLD["ddim that clips"]}, replaced=True)
    net = diffusers.ControlNetModel.from_pretrained(models / "edges")
    image = Pictures.open(pictures / "stripes.png")
    theirs = diffusers_paints(models, name, "StableDiffusionControlNetPipeline", parts={"controlnet": net}, image=image)
    assert_same(weft_paints(name, sampler="model", controls=[{"net": "edges", "image": "stripes.png"}]), theirs)


def test_pipelines_of_latent_consistency_models_correct_nothing(
    changed: Change, weft_paints: Any, models: Path
) -> None:
    name = changed("distilled", "scheduler", {**NOISE, **OLD["lcm that clips"], "steps_offset": 0}, replaced=True)
    index = models / name / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "LatentConsistencyModelPipeline"))
    theirs = diffusers_paints(
        models, name, "LatentConsistencyModelPipeline", height=SIZE, width=SIZE, original_inference_steps=50
    )
    assert_same(weft_paints(name, sampler="model"), theirs)


def test_a_text_model_that_the_index_has_as_null_is_not_read(changed: Change, weft_paints: Any, models: Path) -> None:
    name = changed("sd3", "text_encoder_3", {})
    index = models / name / "model_index.json"
    named = {**json.loads(index.read_text()), "text_encoder_3": [None, None], "tokenizer_3": [None, None]}
    index.write_text(json.dumps(named))
    theirs = diffusers_paints(models, name, "StableDiffusion3Pipeline", height=SIZE, width=SIZE)
    assert_same(weft_paints(name, sampler="model"), theirs)


def test_a_file_of_an_inpainting_model_of_sd_2_predicts_the_noise(models: Path, zoo: Any) -> None:
    folder = models / zoo("sd2-inpaint")
    shapes = {name: tuple(tensor.shape) for name, tensor in sd2_file(folder).items()}
    found = of_checkpoint(Contents(shapes=shapes))
    assert found and found.scheduler["prediction_type"] == "epsilon"
    alone = of_denoiser(Contents.of(folder / "unet"))
    assert alone and alone.scheduler["prediction_type"] == "epsilon"
    plain = of_denoiser(Contents.of(models / zoo("sd2") / "unet"))
    assert plain and plain.scheduler["prediction_type"] == "v_prediction"


@pytest.mark.parametrize(("model", "stated"), [("flux-schnell", True), ("flux-schnell", False), ("flux-dev", True)])
def test_the_folder_of_a_transformer_says_whether_it_takes_a_scale(
    models: Path, zoo: Any, tmp_path: Path, engine: Engine, weft_paints: Any, model: str, stated: bool
) -> None:
    transformer = models / f"{zoo(model)}-{stated}"
    shutil.copytree(models / model / "transformer", transformer, dirs_exist_ok=True)
    if not stated:
        config = json.loads((transformer / "config.json").read_text())
        del config["guidance_embeds"]
        (transformer / "config.json").write_text(json.dumps(config))
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        prompts = [TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        guide = CFGGuide(LoadDiffusionModel(transformer.name), *prompts, scale=SCALE)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    assert_same(read_pixels(engine.run(graph).paths), weft_paints(model, sampler="model"))


def test_only_what_is_read_otherwise_has_another_digest(changed: Change, models: Path, zoo: Any) -> None:
    """The keys of results of other checkpoints are those of version 0.1."""

    def reading(name: str) -> str:
        contents = Contents.of(models / name)
        return reading_of(of_checkpoint(contents), contents)

    assert [reading(name) for name in ("epsilon", "v_prediction", "distilled", zoo("sd2"), zoo("sdxl"))] == [""] * 5
    assert reading(zoo("sd3")) == "flow-steps"
    assert reading(changed("sdxl", "vae", STATISTICS)) == "latent-statistics"
    old = changed("epsilon", "scheduler", {**NOISE, **OLD["ddim that clips"]}, replaced=True)
    assert reading(old) == "scheduler-corrections"
