"""Variations of a picture by Stable unCLIP equal those of diffusers' own pipeline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures
from safetensors.torch import load_file, save_file

from tests.nodes.conftest import read_pixels
from tests.nodes.families.conftest import Folders
from tests.nodes.families.image_adapters import VECTOR, clip_vision
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, assert_same, diffusers
from tests.refusals import names, refused
from weft.engine import Engine, Graph
from weft.nodes import (
    ApplyUnCLIP,
    CFGGuide,
    EmptyLatent,
    EncodeImage,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    LoadImageEncoder,
    SaveImage,
    TextEncode,
    VAEDecode,
)
from weft.nodes.models.contents import Contents
from weft.nodes.models.unclip import load_image_noise

STEPS = 2


@pytest.fixture(scope="module")
def unclip(folders: Folders) -> str:
    return folders("unclip")


def painting(
    model: str,
    *,
    level: int = 0,
    scale: float = SCALE,
    encoder: str = "unclip",
    negative: str | None = NEGATIVE,
    batch: int = 1,
    images: tuple[str, ...] = ("ramp.png",),
) -> Graph:
    apply: Any = ApplyUnCLIP
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(model)
        words = TextEncode(checkpoint.text_encoder, PROMPT)
        against: Any = TextEncode(checkpoint.text_encoder, negative) if negative is not None else None
        embedding = EncodeImage(LoadImageEncoder(encoder), [LoadImage(name) for name in images])
        pictured = apply(checkpoint.model, words, against, embedding, noise_level=level, seed=SEED)
        guide = CFGGuide(checkpoint.model, pictured.positive, pictured.negative if against else None, scale=scale)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE, batch), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


CASES = [(0, SCALE), (0, 1.0), (300, SCALE), (999, SCALE)]


@pytest.mark.parametrize(("level", "scale"), CASES)
def test_a_variation(engine: Engine, oracle: Oracle, unclip: str, pictures: Path, level: int, scale: float) -> None:
    """The noise of latents is given, since diffusers draws it after that of the vector, from the same generator."""
    latents = torch.randn(1, 4, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(SEED))
    theirs = oracle.run(
        diffusers.StableUnCLIPImg2ImgPipeline,
        "model",
        model=unclip,
        image=Pictures.open(pictures / "ramp.png"),
        prompt=[PROMPT],
        negative_prompt=[NEGATIVE],
        guidance_scale=scale,
        noise_level=level,
        latents=latents,
        num_inference_steps=STEPS,
    )
    assert_same(read_pixels(engine.run(painting(unclip, level=level, scale=scale)).paths), theirs)


def test_the_prompt_that_is_left_out_gets_no_picture(engine: Engine, unclip: str) -> None:
    """An empty negative prompt and none are the same."""
    empty, none = (read_pixels(engine.run(painting(unclip, negative=text)).paths) for text in ("", None))
    assert numpy.array_equal(empty, none)


def test_each_item_may_have_a_picture_of_its_own(engine: Engine, unclip: str) -> None:
    names = ("ramp.png", "stripes.png")
    both = read_pixels(engine.run(painting(unclip, batch=2, images=names)).paths)
    alone = read_pixels(engine.run(painting(unclip, images=names[:1])).paths)
    assert_same(both[:1], alone)
    assert numpy.abs(both[1].astype(int) - both[0]).max() > 20


def test_what_does_not_fit_is_a_problem(zoo: Any, engine: Engine, models: Path, unclip: str) -> None:
    (problem, *more) = engine.check(painting(zoo("sd2"))).problems
    assert {one.code for one in (problem, *more)} == {"unsupported-by-model"}
    assert (problem.node, problem.input) == ("apply_un_clip", "model") and names(problem, "load_checkpoint", "SD2")
    clip_vision(vector=40).save_pretrained(models / "narrow-vision")
    (problem,) = engine.check(painting(unclip, encoder="narrow-vision")).problems
    assert (problem.code, problem.node, problem.input) == ("wrong-channels", "apply_un_clip", "embedding")
    assert names(problem, "load_image_encoder", "load_checkpoint", 40, VECTOR)
    shutil.copytree(models / unclip, models / "bare-unclip", dirs_exist_ok=True)
    shutil.rmtree(models / "bare-unclip" / "image_normalizer")
    (problem,) = engine.check(painting("bare-unclip")).problems
    assert (problem.code, problem.node, problem.input) == ("missing-weights", "apply_un_clip", "model")


def test_a_prompt_without_a_picture_is_a_problem(engine: Engine, unclip: str) -> None:
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(unclip)
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, PROMPT), scale=1.0)
        SaveImage(VAEDecode(checkpoint.vae, KSampler(guide, EmptyLatent(SIZE, SIZE), steps=2, sampler="model")))
    (problem,) = engine.check(graph).problems
    assert (problem.code, problem.node, problem.input) == ("wrong-prompt", "k_sampler", "guide")
    assert names(problem, "load_checkpoint", "ApplyUnCLIP")


def test_a_level_that_the_checkpoint_has_not_is_refused(engine: Engine, models: Path, unclip: str) -> None:
    folder = shutil.copytree(models / unclip, models / "short-unclip", dirs_exist_ok=True)
    path = folder / "image_noising_scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_train_timesteps": 100}))
    with refused("out-of-range", 100, 300, node="apply_un_clip"):
        engine.run(painting("short-unclip", level=300))


def test_a_file_has_the_same_noise_as_the_folder(models: Path, unclip: str, tmp_path: Path) -> None:
    """In the original layout the statistics have other names, and the schedule is that of the published models."""
    folder = models / unclip
    found = load_file(folder / "image_normalizer" / "diffusion_pytorch_model.safetensors")
    named = {f"noise_augmentor.data_{name}": one for name, one in found.items()}
    save_file(named, tmp_path / "unclip.safetensors")
    one, other = (load_image_noise(Contents.of(root), root, "") for root in (folder, tmp_path / "unclip.safetensors"))
    vectors, noise = torch.randn(2, 1, VECTOR, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one.noised(vectors, 300, noise), other.noised(vectors, 300, noise))
