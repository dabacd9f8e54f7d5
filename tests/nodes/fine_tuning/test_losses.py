"""The loss of the first steps of a training is that of the papers, and what is trained paints in diffusers as here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from tests.nodes.families.test_text_to_image import GUIDED
from tests.nodes.fine_tuning.training import CAPTIONS, NETWORKS, RANK, RATE, SEED, STEPS, Restated, pictures
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SIZE, Oracle, Pixels, assert_same, diffusers
from tests.nodes.oracle import SEED as PAINTED
from tests.refusals import refused
from weft.nodes import (
    ApplyLoRA,
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadLoRA,
    LoRA,
    SaveLoRA,
    TextEncode,
    TrainedLoRA,
    TrainLoRA,
    VAEDecode,
)
from weft.nodes.fine_tuning.examples import generator_for
from weft.nodes.picture_files import to_pil

PIPELINES = {
    "epsilon": "StableDiffusionPipeline",
    "v_prediction": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "sd3": "StableDiffusion3Pipeline",
    "flux-dev": "FluxPipeline",
    "z-image": "ZImagePipeline",
    "qwen-image": "QwenImagePipeline",
}
"""diffusers' pipelines, by checkpoint."""

KOHYA = ("epsilon", "v_prediction", "sdxl")
"""The checkpoints whose LoRAs diffusers reads in kohya's layout too."""

AUTHORS = ("sd3", "flux-dev")
"""Those whose LoRAs have the names of the model's authors there; diffusers reads FLUX.1's of the full width alone."""

ROOTS = ("epsilon", "v_prediction", "sample")
"""The checkpoints that are in the models folder already."""

QUICK = (*ROOTS, "z-image")
"""The checkpoints that are tried by default; `pytest -m slow tests/nodes/fine_tuning/test_losses.py` tries all."""


def quickly(models: Iterable[str]) -> list[Any]:
    """Checkpoints as parameters of a test, most of them slow."""
    return [pytest.param(one, marks=[] if one in QUICK else [pytest.mark.slow]) for one in models]


Trained = Callable[..., TrainedLoRA[Any]]

Call = Callable[..., Any]


def order(step: int) -> list[int]:
    """The order of two pictures in the epoch of a step, whose only batch has both."""
    generator = generator_for(SEED, "order", step)
    return torch.randperm(2, generator=generator).tolist()


@pytest.fixture(scope="module")
def trained(call: Call, zoo: Any) -> Trained:
    """Train a LoRA of a checkpoint in a few steps; the usual one of each once."""
    made: dict[str, TrainedLoRA[Any]] = {}
    usual = {"steps": STEPS, "batch_size": 2, "rank": RANK, "learning_rate": RATE, "caption_dropout": 0.0, "seed": SEED}

    def give(name: str, **options: Any) -> TrainedLoRA[Any]:
        key = f"{name} {options}"
        if key not in made:
            checkpoint = call(LoadCheckpoint, source=name if name in ROOTS else zoo(name))
            parts = checkpoint._asdict()
            made[key] = call(TrainLoRA, **parts, pictures=pictures(), captions=CAPTIONS, **{**usual, **options})
        return made[key]

    return give


@pytest.mark.parametrize("model", quickly(NETWORKS))
def test_first_losses_are_those_of_the_paper(trained: Trained, oracle: Oracle, model: str) -> None:
    ours = trained(model).losses
    assert ours == pytest.approx(Restated(oracle.pipeline(model), NETWORKS[model], order).losses(), abs=1e-5)


def test_gradient_checkpointing_changes_no_loss(trained: Trained) -> None:
    assert trained("epsilon", gradient_checkpointing=True).losses == pytest.approx(trained("epsilon").losses, abs=1e-5)


@pytest.mark.parametrize("model", ROOTS)
def test_offset_noise_and_min_snr(trained: Trained, oracle: Oracle, model: str) -> None:
    ours = trained(model, noise_offset=0.1, min_snr=5.0).losses
    theirs = Restated(oracle.pipeline(model), NETWORKS[model], order, noise_offset=0.1, min_snr=5.0).losses()
    assert ours == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("model", ROOTS)
def test_debiased_weights(trained: Trained, oracle: Oracle, model: str) -> None:
    theirs = Restated(oracle.pipeline(model), NETWORKS[model], order, debiased=True).losses()
    assert trained(model, debiased=True).losses == pytest.approx(theirs, rel=1e-5, abs=1e-5)


def painted(call: Call, model: str, lora: LoRA[Any]) -> Pixels:
    """Paint with a model under a LoRA."""
    checkpoint = call(LoadCheckpoint, source=model)
    own, text = call(ApplyLoRA, lora=lora, model=checkpoint.model, text_encoder=checkpoint.text_encoder)
    positive, negative = (call(TextEncode, text_encoder=text, text=one) for one in (PROMPT, NEGATIVE))
    guide = call(CFGGuide, model=own, positive=positive, negative=negative, scale=SCALE)
    size = call(EmptyLatent, width=SIZE, height=SIZE)
    latent = call(KSampler, guide=guide, latent=size, seed=PAINTED, steps=2, sampler="model")
    pixels = call(VAEDecode, vae=checkpoint.vae, latent=latent).pixels
    return numpy.stack([numpy.asarray(one) for one in to_pil(pixels)])


@pytest.mark.parametrize("layout", ["diffusers", "kohya"])
@pytest.mark.parametrize("model", quickly(PIPELINES))
def test_what_is_trained_paints_in_diffusers(
    call: Call, trained: Trained, oracle: Oracle, tmp_path: Path, model: str, layout: str
) -> None:
    if layout == "kohya" and model in AUTHORS:
        return
    if layout == "kohya" and model not in KOHYA:
        with refused("unsupported-by-model"):
            call(SaveLoRA, lora=trained(model).lora, layout=layout)
        return
    assert_paints_alike(call, oracle, tmp_path, model, layout, trained(model).lora)


@pytest.mark.slow
@pytest.mark.parametrize("layers", ["attention", "all"])
@pytest.mark.parametrize("model", AUTHORS)
def test_the_names_of_authors_paint_alike(
    call: Call, trained: Trained, models: Path, model: str, layers: str, tmp_path: Path
) -> None:
    lora = trained(model, layers=layers, alpha=2.0).lora
    name = f"{model}-{layers}.safetensors"
    call(SaveLoRA, lora=lora, layout="kohya").save(tmp_path).replace(models / name)
    ours, without = (painted(call, model, one) for one in (lora, trained(model, steps=1, learning_rate=1e-9).lora))
    assert_same(painted(call, model, call(LoadLoRA, source=name)), ours)
    assert (ours != without).any()


@pytest.mark.parametrize("layout", ["diffusers", "kohya"])
def test_text_models_that_are_trained_too(
    call: Call, trained: Trained, oracle: Oracle, tmp_path: Path, layout: str
) -> None:
    lora = trained("epsilon", train_text_encoder=True, layers="all", alpha=2.0).lora
    assert_paints_alike(call, oracle, tmp_path, "epsilon", layout, lora)


def assert_paints_alike(call: Call, oracle: Oracle, folder: Path, model: str, layout: str, lora: LoRA[Any]) -> None:
    """Hold pictures under a LoRA to those of diffusers with its file."""
    file = call(SaveLoRA, lora=lora, layout=layout).save(folder)
    pipeline = oracle.pipeline(model)
    pipeline.load_lora_weights(str(file))
    size: dict[str, Any] = {"height": SIZE, "width": SIZE, "num_inference_steps": 2}
    theirs = oracle.paint(getattr(diffusers, PIPELINES[model]), "model", model=model, **size, **GUIDED.get(model, {}))
    pipeline.unload_lora_weights()
    ours = painted(call, model, lora)
    assert_same(ours, theirs)
