"""A model in parts, each from a folder or a file of its own, paints what it paints whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
from safetensors.torch import load_file, save_file

from tests.nodes import layouts
from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, STEPS, Pixels
from weft.engine import Engine, Graph
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadDiffusionModel,
    LoadVAE,
    SaveImage,
    TextEncode,
    VAEDecode,
)

DENOISERS = {"clip": "unet", "sd2": "unet", "sdxl": "unet", "sd3": "transformer", "flux-dev": "transformer"}
"""The folder of each checkpoint's denoiser."""

load: Any = LoadVAE


def in_parts(text: str, denoiser: str, vae: str) -> Graph:
    """A checkpoint gives the text encoder, other sources the rest."""
    with Graph() as graph:
        encoder = LoadCheckpoint(text).text_encoder
        model: Any = LoadDiffusionModel(denoiser)
        guide = CFGGuide(model, *(TextEncode(encoder, text) for text in (PROMPT, NEGATIVE)), scale=SCALE)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(load(model, vae, id="vae"), latent))
    return graph


def parted(file: Path, prefix: str, named: str) -> str:
    """The tensors of a whole file below a prefix, in a file of their own and without it; its name."""
    found = {name.removeprefix(prefix): one for name, one in load_file(file).items() if name.startswith(prefix)}
    save_file(found, file.parent / named)
    return named


def whole_file(zoo: Any, models: Path, model: str) -> str:
    """A checkpoint as one file; its name."""
    if model != "clip":
        return str(zoo(f"{model}.safetensors"))
    save_file(layouts.sd1(models / model), models / "clip.safetensors")
    return "clip.safetensors"


@pytest.mark.parametrize("form", ["folders", "files"])
@pytest.mark.parametrize("model", DENOISERS)
def test_parts_paint_what_the_whole_paints(
    zoo: Any, models: Path, engine: Engine, weft_paints: Any, model: str, form: str
) -> None:
    file = whole_file(zoo, models, model)
    denoiser, vae = f"{model}/{DENOISERS[model]}", f"{model}/vae"
    if form == "files":
        denoiser = parted(models / file, prefix_of("denoiser", model), f"{model}-denoiser.safetensors")
        vae = parted(models / file, prefix_of("vae", model), f"{model}-vae.safetensors")
    whole: Pixels = weft_paints(file, sampler="model")
    assert whole.std() > 5
    assert numpy.array_equal(read_pixels(engine.run(in_parts(file, denoiser, vae)).paths), whole)


def prefix_of(part: str, model: str) -> str:
    """What the names of a part begin with in a whole file."""
    if part == "denoiser":
        return "model.diffusion_model."
    return "vae." if model.startswith("flux") else "first_stage_model."


def test_a_vae_of_another_family_is_refused_before_a_run(zoo: Any, engine: Engine) -> None:
    zoo("sdxl"), zoo("sd3")
    (problem,) = engine.check(in_parts("sdxl", "sdxl/unet", "sd3/vae")).problems
    assert (problem.node, problem.input) == ("vae", "source")
    assert problem.message == "`sd3/vae` is a VAE of SD3, and `load_diffusion_model` is of family SDXL"


def test_a_text_encoder_of_another_family_is_refused_before_a_run(zoo: Any, engine: Engine) -> None:
    zoo("sdxl"), zoo("sd2")
    problem = engine.check(in_parts("sd2", "sdxl/unet", "sdxl/vae")).problems[0]
    assert "SD2 (from `load_checkpoint`)" in problem.message and "SDXL (from `load_diffusion_model`)" in problem.message


@pytest.mark.parametrize(
    ("denoiser", "vae", "found"),
    [
        ("edges", "sd2/vae", "`edges` is ControlNetModel, expected a denoiser"),
        ("sd2/vae", "sd2/vae", "`vae` is AutoencoderKL, expected a denoiser"),
        ("sd2", "sd2/vae", "`sd2` is a checkpoint (SD2), expected a denoiser"),
        ("sd2/unet", "sd2/unet", "`unet` is UNet2DConditionModel, expected a VAE"),
        ("sd2/unet", "sd2.safetensors", "`sd2.safetensors` is a checkpoint (SD2), expected a VAE"),
    ],
)
def test_what_is_no_such_part_is_said_to_be_what_it_is(
    zoo: Any, engine: Engine, denoiser: str, vae: str, found: str
) -> None:
    zoo("sd2.safetensors")
    assert found in [problem.message for problem in engine.check(in_parts("sd2", denoiser, vae)).problems]
