"""Parts that are published as files of their own paint what a folder of the same weights paints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from safetensors.torch import save_file

from tests.nodes import layouts
from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, STEPS
from tests.refusals import names
from weft.engine import Engine, Graph
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadDiffusionModel,
    LoadTextEncoder,
    LoadVAE,
    SaveImage,
    TextEncode,
    VAEDecode,
)

Files = Callable[[Path], dict[str, layouts.Tensors]]


def z_image(folder: Path) -> dict[str, layouts.Tensors]:
    return {
        "denoiser": layouts.z_image(folder),
        "text": layouts.under(layouts.weights(folder, "text_encoder"), "model."),
        "vae": layouts.vae(folder, ""),
    }


def qwen_image(folder: Path) -> dict[str, layouts.Tensors]:
    text = {
        name.removeprefix("model.").replace("language_model.", "model."): tensor
        for name, tensor in layouts.weights(folder, "text_encoder").items()
    }
    return {
        "denoiser": layouts.weights(folder, "transformer"),
        "text": text,
        "vae": layouts.renamed(layouts.weights(folder, "vae"), layouts.WAN_VAE, ""),
    }


PUBLISHED: dict[str, Files] = {"z-image": z_image, "qwen-image": qwen_image}
"""The files of each checkpoint, by part, with the names that their publishers give to tensors."""


def in_parts(denoiser: str, text: str, vae: str, tokenizer: str | None = None) -> Graph:
    """A graph over a denoiser, a text encoder and a VAE that come alone."""
    with Graph() as graph:
        model: Any = LoadDiffusionModel(denoiser)
        encoder = LoadTextEncoder(model, text, tokenizer=tokenizer)
        guide = CFGGuide(model, TextEncode(encoder, PROMPT), TextEncode(encoder, NEGATIVE), scale=SCALE)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(LoadVAE(model, vae), latent))
    return graph


@pytest.fixture(scope="module")
def parts(zoo: Any, models: Path) -> Callable[[str], dict[str, str]]:
    """Put the files of a checkpoint's parts into the models folder; their names."""

    def give(model: str) -> dict[str, str]:
        names = {}
        for part, tensors in PUBLISHED[model](models / zoo(model)).items():
            names[part] = f"{model}-{part}.safetensors"
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, models / names[part])
        return names

    return give


@pytest.mark.parametrize("model", PUBLISHED)
def test_parts_paint_what_the_whole_paints(engine: Engine, weft_paints: Any, parts: Any, model: str) -> None:
    files = parts(model)
    whole = weft_paints(model, sampler="model")
    assert whole.std() > 5
    for graph in (
        in_parts(f"{model}/transformer", f"{model}/text_encoder", f"{model}/vae"),
        in_parts(**files, tokenizer=f"{model}/tokenizer"),
        in_parts(**files, tokenizer=f"{model}/tokenizer/tokenizer.json"),
    ):
        assert numpy.array_equal(read_pixels(engine.run(graph).paths), whole)


@pytest.mark.parametrize("model", PUBLISHED)
def test_a_language_model_in_one_file_needs_a_tokenizer(engine: Engine, parts: Any, model: str) -> None:
    (problem,) = engine.check(in_parts(**parts(model))).problems
    assert (problem.code, problem.node) == ("no-tokenizer", "load_text_encoder") and names(problem, "tokenizer")
