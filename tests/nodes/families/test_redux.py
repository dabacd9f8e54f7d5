"""Pictures as tokens of a prompt, by FLUX.1 Redux, equal those of diffusers' own pipelines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Pictures
from safetensors.torch import load_file, save_file

from tests.nodes.conftest import read_pixels
from tests.nodes.families.conftest import Folders
from tests.nodes.families.image_adapters import WIDTH
from tests.nodes.families.tiny import T5_WIDTH
from tests.nodes.oracle import PROMPT, SEED, SIZE, Oracle, Pixels, assert_same, diffusers
from tests.refusals import names, refused
from weft.engine import Engine, Graph
from weft.nodes import (
    ApplyRedux,
    CFGGuide,
    EmptyLatent,
    EncodeImage,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    LoadImageEncoder,
    LoadRedux,
    SaveImage,
    TextEncode,
    VAEDecode,
)

STEPS = 2


@pytest.fixture(scope="module")
def redux(models: Path, zoo: Any, folders: Folders) -> str:
    """The folder of Redux's pipeline; its part is one file too."""
    zoo("flux-dev")
    tensors = load_file(models / folders("redux") / "image_embedder" / "diffusion_pytorch_model.safetensors")
    save_file(tensors, models / "flux1-redux.safetensors")
    return "redux"


def painting(redux: str, images: tuple[str, ...], model: str = "flux-dev", **options: Any) -> Graph:
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(model)
        embedding = EncodeImage(LoadImageEncoder("redux"), [LoadImage(name) for name in images])
        prompt: Any = ApplyRedux(TextEncode(checkpoint.text_encoder, PROMPT), LoadRedux(redux), embedding, **options)
        guide = CFGGuide(checkpoint.model, prompt, scale=2.5)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


@pytest.fixture(scope="module")
def mixed(models: Path, redux: str, oracle: Oracle, pictures: Path) -> Callable[..., Pixels]:
    """diffusers' pictures, by its pipeline of Redux and then that of FLUX.1."""

    def paint(images: tuple[str, ...], **given: Any) -> Pixels:
        pipe = oracle.pipeline("flux-dev")
        parts = {name: getattr(pipe, name) for name in ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")}
        prior = diffusers.FluxPriorReduxPipeline.from_pretrained(models / redux, **parts)
        made = prior([Pictures.open(pictures / name) for name in images], **{"prompt": [PROMPT] * len(images), **given})
        size: dict[str, Any] = {"num_inference_steps": STEPS, "height": SIZE, "width": SIZE}
        return oracle.run(diffusers.FluxPipeline, "model", model="flux-dev", guidance_scale=2.5, **size, **made)

    return paint


RAMP, BOTH = ("ramp.png",), ("ramp.png", "stripes.png")

NO_TEXT = {
    "prompt": None,
    "prompt_embeds": torch.zeros(1, 512, T5_WIDTH),
    "pooled_prompt_embeds": torch.zeros(1, WIDTH),
}
"""What stands for the prompt where no text encoders are loaded; diffusers has only the sizes of FLUX.1 itself."""

CASES: Mapping[str, tuple[tuple[str, ...], dict[str, Any], dict[str, Any]]] = {
    "a picture": (RAMP, {}, {}),
    "with less of both": (
        RAMP,
        {"prompt_embeds_scale": 0.6, "pooled_prompt_embeds_scale": 0.4},
        {"weights": [0.6], "vector_weights": [0.4]},
    ),
    "two pictures": (BOTH, {}, {"weights": [1.0, 1.0], "vector_weights": [1.0, 1.0]}),
    "two pictures, one counting more": (
        BOTH,
        {"prompt_embeds_scale": [0.7, 0.2], "pooled_prompt_embeds_scale": [0.5, 0.5]},
        {"weights": [0.7, 0.2]},
    ),
    "a picture without words": (RAMP, NO_TEXT, {"with_text": False}),
}


@pytest.mark.parametrize("case", CASES)
def test_redux(engine: Engine, mixed: Callable[..., Pixels], oracle: Oracle, redux: str, case: str) -> None:
    images, theirs, own = CASES[case]
    assert_same(read_pixels(engine.run(painting(redux, images, **own)).paths), mixed(images, **theirs))


def test_a_file_is_read_as_the_folder(engine: Engine, redux: str) -> None:
    one, other = (engine.run(painting(source, RAMP)).paths for source in (redux, "flux1-redux.safetensors"))
    assert (read_pixels(one) == read_pixels(other)).all()


def test_redux_for_another_model_is_a_problem(zoo: Any, engine: Engine, redux: str) -> None:
    """SD 3's prompts are as wide, and nothing of it reads tokens of pictures."""
    for model, width in (("epsilon", 64), (zoo("sd3"), T5_WIDTH)):
        (problem,) = engine.check(painting(redux, RAMP, model)).problems
        assert (problem.code, problem.node) == ("wrong-adapter", "k_sampler")
        assert names(problem, "load_redux", "load_checkpoint", T5_WIDTH, width)


def test_an_image_encoder_of_another_size_is_a_problem(engine: Engine, models: Path, redux: str) -> None:
    tensors = {"redux_up.weight": torch.zeros(8, 40), "redux_down.weight": torch.zeros(T5_WIDTH, 8)}
    save_file(tensors, models / "narrow-redux.safetensors")
    (problem,) = engine.check(painting("narrow-redux.safetensors", RAMP)).problems
    assert (problem.code, problem.node, problem.input) == ("wrong-channels", "apply_redux", "embedding")
    assert names(problem, "load_redux", "load_image_encoder", 40, WIDTH)


def test_there_is_a_weight_for_each_picture(engine: Engine, redux: str) -> None:
    with refused("batch-mismatch", 1, 2, node="apply_redux"):
        engine.run(painting(redux, BOTH, weights=[1.0]))
