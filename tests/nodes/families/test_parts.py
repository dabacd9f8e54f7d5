"""A model in parts, each from a folder or a file of its own, paints what it paints whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from tests.nodes import layouts
from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, STEPS, Pixels
from tests.refusals import names
from weft.engine import Context, Engine, Graph
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadDiffusionModel,
    LoadEmbedding,
    LoadTextEncoder,
    LoadVAE,
    SaveImage,
    TextEncode,
    VAEDecode,
)

DENOISERS = {"clip": "unet", "sd2": "unet", "sdxl": "unet", "sd3": "transformer", "flux-dev": "transformer"}
"""The folder of each checkpoint's denoiser."""

load: Any = LoadVAE
load_texts: Any = LoadTextEncoder
load_embedding: Any = LoadEmbedding

TEXTS = {
    "clip": {"text_encoder": "cond_stage_model.transformer."},
    "sd2": {"text_encoder": "cond_stage_model.model."},
    "sdxl": {
        "text_encoder": "conditioner.embedders.0.transformer.",
        "text_encoder_2": "conditioner.embedders.1.model.",
    },
    "sdxl-refiner": {"text_encoder_2": "conditioner.embedders.0.model."},
    "sd3": {
        "text_encoder": "text_encoders.clip_l.transformer.",
        "text_encoder_2": "text_encoders.clip_g.transformer.",
        "text_encoder_3": "text_encoders.t5xxl.transformer.",
    },
    "sd3-short": {
        "text_encoder": "text_encoders.clip_l.transformer.",
        "text_encoder_2": "text_encoders.clip_g.transformer.",
    },
    "flux-dev": {
        "text_encoder": "text_encoders.clip_l.transformer.",
        "text_encoder_2": "text_encoders.t5xxl.transformer.",
    },
}
"""The folder of each text model, and what the names of its tensors begin with in a whole file."""


def in_parts(text: str, denoiser: str, vae: str) -> Graph:
    """A checkpoint gives the text encoder, other sources the rest."""
    with Graph() as graph:
        encoder = LoadCheckpoint(text).text_encoder
        model: Any = LoadDiffusionModel(denoiser)
        guide = CFGGuide(model, *(TextEncode(encoder, text) for text in (PROMPT, NEGATIVE)), scale=SCALE)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(load(model, vae, id="vae"), latent))
    return graph


def with_texts(
    model: str, texts: list[str], *, alone: bool = True, embedding: str = "", tokenizer: str | None = None
) -> Graph:
    """A model whose text models come alone, in this order."""
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(model)
        denoiser: Any = (
            LoadDiffusionModel(f"{model}/{DENOISERS.get(model, 'transformer')}") if alone else checkpoint.model
        )
        named = dict(zip(("source", "source_2", "source_3"), texts, strict=False))
        encoder = load_texts(denoiser, **named, tokenizer=tokenizer, id="texts")
        if embedding:
            encoder = load_embedding(encoder, embedding)
        guide = CFGGuide(denoiser, TextEncode(encoder, PROMPT), TextEncode(encoder, NEGATIVE), scale=SCALE)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
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


@pytest.mark.parametrize("form", ["folders", "files"])
@pytest.mark.parametrize("model", TEXTS)
def test_text_models_alone_read_what_the_whole_reads(
    zoo: Any, models: Path, engine: Engine, weft_paints: Any, model: str, form: str
) -> None:
    """In the reverse of the order in which families have them."""
    file = whole_file(zoo, models, model)
    texts = [f"{model}/{folder}" for folder in TEXTS[model]]
    if form == "files":
        texts = [parted(models / file, prefix, f"{model}-{one}.safetensors") for one, prefix in TEXTS[model].items()]
    whole: Pixels = weft_paints(model, sampler="model")
    assert whole.std() > 5
    painted = engine.run(with_texts(model, texts[::-1], alone=False))
    assert numpy.array_equal(read_pixels(painted.paths), whole)


@pytest.mark.parametrize("tokenizer", ["sd3", "sd3/tokenizer_3", "sd3/tokenizer_3/tokenizer.json"])
def test_a_tokenizer_may_come_apart_from_its_text_model(
    zoo: Any, models: Path, call: Any, context: Context, tokenizer: str
) -> None:
    """Of a model's folder, `tokenizer` is the one that is taken."""
    file = models / zoo("sd3.safetensors")
    parts = [parted(file, prefix, f"apart-{one}.safetensors") for one, prefix in TEXTS["sd3"].items()]
    if tokenizer == "sd3":
        tokenizer = "with-tokenizer"
        shutil.copytree(models / "sd3" / "tokenizer_3", models / tokenizer / "tokenizer", dirs_exist_ok=True)
    given = dict(zip(("source", "source_2", "source_3"), parts, strict=True))
    checkpoint = call(LoadCheckpoint, source="sd3")
    recipe = call(load_texts, model=checkpoint.model, tokenizer=tokenizer, **given)
    assert recipe.tokenizer
    with context.weights(recipe) as apart, context.weights(checkpoint.text_encoder) as whole:
        assert torch.equal(apart.encode([PROMPT]).embeddings, whole.encode([PROMPT]).embeddings)


@pytest.mark.parametrize(
    ("model", "folders", "tokenizer", "code"),
    [
        ("sd2", ["text_encoder"], "sd2/tokenizer", "unsupported-by-model"),
        ("sd3", TEXTS["sd3"], "sd3/vae", "wrong-kind-of-file"),
        ("sd3", TEXTS["sd3"], "sd3.safetensors", "wrong-kind-of-file"),
    ],
)
def test_a_tokenizer_that_none_takes_or_that_is_none_is_refused_before_a_run(
    zoo: Any, engine: Engine, model: str, folders: list[str], tokenizer: str, code: str
) -> None:
    zoo("sd3.safetensors"), zoo("sd2")
    texts = [f"{model}/{folder}" for folder in folders]
    (problem,) = engine.check(with_texts(model, texts, tokenizer=tokenizer)).problems
    assert (problem.code, problem.node, problem.input) == (code, "texts", "tokenizer") and problem.hint


def test_a_model_in_parts_alone_needs_no_checkpoint(zoo: Any, engine: Engine, weft_paints: Any) -> None:
    """Its transformer says how wide SD 3's prompts are."""
    whole = weft_paints(zoo("sd3-short"), sampler="model")
    graph = with_texts("sd3-short", ["sd3-short/text_encoder_2", "sd3-short/text_encoder"])
    assert numpy.array_equal(read_pixels(engine.run(graph).paths), whole)


def test_models_of_a_family_share_their_text_models(zoo: Any, call: Any) -> None:
    zoo("flux-dev"), zoo("flux-schnell")
    models = (call(LoadCheckpoint, source=name).model for name in ("flux-dev", "flux-schnell"))
    texts = {"source": "flux-dev/text_encoder", "source_2": "flux-dev/text_encoder_2"}
    one, other = (call(load_texts, model=model, **texts) for model in models)
    assert one == other


def test_a_recipe_names_every_text_model_whatever_their_order(zoo: Any, call: Any) -> None:
    zoo("sd3")
    model = call(LoadCheckpoint, source="sd3").model
    texts = [f"sd3/{folder}" for folder in TEXTS["sd3"]]
    one, other = (
        call(load_texts, model=model, source=first, source_2=second, source_3=third)
        for first, second, third in (texts, texts[::-1])
    )
    assert one == other and [name for name, _ in one.files] == ["clip_l", "clip_g", "t5xxl"]
    assert len({digest for _, digest in one.files}) == 3


@pytest.mark.parametrize(
    ("model", "texts", "code", "values"),
    [
        ("sdxl", ["sdxl/text_encoder"], "wrong-channels", ["sdxl/text_encoder", 64, 128]),
        ("sd3", ["sd3/text_encoder"], "wrong-text-models", ["clip_l", "clip_g", "t5xxl", "sd3/text_encoder", 64]),
        ("sd3", ["sd3/text_encoder", "sdxl/text_encoder"], "wrong-text-models", ["sdxl/text_encoder", "CLIP", 2, 64]),
        ("sd3", ["sd3/text_encoder_2", "sdxl/text_encoder"], "missing-weights", ["sdxl/text_encoder", "SD3"]),
        ("flux-dev", ["sd3/text_encoder"], "wrong-text-models", ["FLUX", "clip_l", "t5xxl", "sd3/text_encoder"]),
        ("sd2", ["sd3/text_encoder_3"], "wrong-text-models", ["SD2", "clip_h", "sd3/text_encoder_3", "T5", 2]),
        ("flux-dev", ["wide", "sd3/text_encoder_3"], "wrong-channels", [128, 64]),
        ("sd2", ["wide"], "wrong-channels", ["wide", 128, 64]),
        ("sd2", ["sd2/vae"], "wrong-kind-of-file", ["vae", "AutoencoderKL"]),
    ],
)
def test_text_models_that_are_not_the_models_are_refused_before_a_run(
    zoo: Any, models: Path, engine: Engine, model: str, texts: list[str], code: str, values: list[str | float]
) -> None:
    CLIPTextModel(CLIPTextConfig(vocab_size=100, hidden_size=128, num_hidden_layers=1)).save_pretrained(models / "wide")
    for name in ("sdxl", "sd3", "flux-dev", "sd2"):
        zoo(name)
    (problem,) = engine.check(with_texts(model, texts)).problems
    assert (problem.code, problem.node, problem.input) == (code, "texts", "source")
    assert names(problem, *values) and problem.hint


def test_an_embedding_is_checked_behind_text_models_alone(zoo: Any, models: Path, engine: Engine) -> None:
    zoo("sd2")
    save_file({"emb_params": torch.ones(1, 32)}, models / "slim.safetensors")
    (problem,) = engine.check(with_texts("sd2", ["sd2/text_encoder"], embedding="slim.safetensors")).problems
    assert problem.code == "wrong-channels" and names(problem, "slim.safetensors", 32, "clip_h", 64)


def test_a_vae_of_another_family_is_refused_before_a_run(zoo: Any, engine: Engine) -> None:
    zoo("sdxl"), zoo("sd3")
    (problem,) = engine.check(in_parts("sdxl", "sdxl/unet", "sd3/vae")).problems
    assert (problem.code, problem.node, problem.input) == ("family-mismatch", "vae", "source")
    assert names(problem, "sd3/vae", "SD3", "load_diffusion_model", "SDXL")


def test_a_text_encoder_of_another_family_is_refused_before_a_run(zoo: Any, engine: Engine) -> None:
    zoo("sdxl"), zoo("sd2")
    problem = engine.check(in_parts("sd2", "sdxl/unet", "sdxl/vae")).problems[0]
    assert problem.code == "family-mismatch"
    assert names(problem, "SD2", "load_checkpoint", "SDXL", "load_diffusion_model")


@pytest.mark.parametrize(
    ("denoiser", "vae", "node", "values"),
    [
        ("edges", "sd2/vae", "load_diffusion_model", ["edges", "ControlNetModel"]),
        ("sd2/vae", "sd2/vae", "load_diffusion_model", ["vae", "AutoencoderKL"]),
        ("sd2/unet", "sd2/unet", "vae", ["unet", "UNet2DConditionModel"]),
    ],
)
def test_what_is_no_such_part_is_named_as_what_it_is(
    zoo: Any, engine: Engine, denoiser: str, vae: str, node: str, values: list[str]
) -> None:
    zoo("sd2.safetensors")
    problems = engine.check(in_parts("sd2", denoiser, vae)).problems
    (problem,) = (one for one in problems if (one.code, one.node) == ("wrong-kind-of-file", node))
    assert problem.input == "source" and names(problem, *values)
