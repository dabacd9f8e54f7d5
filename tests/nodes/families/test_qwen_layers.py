"""Pictures that Qwen-Image-Layered divides into layers equal those of diffusers' pipeline, with their alpha."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from diffusers.pipelines.qwenimage import pipeline_qwenimage_layered
from PIL import Image as Pictures
from safetensors.torch import save_file

from tests.nodes import layouts
from tests.nodes.conftest import read_pixels
from tests.nodes.families.named_files import qwen_vae
from tests.nodes.oracle import NEGATIVE, PROMPT, SEED, SIZE, STEPS, Oracle, one_each
from tests.refusals import refused
from weft.engine import Engine, Graph, Link
from weft.nodes import (
    ApplyControlNet,
    CFGGuide,
    EmptyLatent,
    EmptyLayeredLatent,
    KSampler,
    Latent,
    LoadCheckpoint,
    LoadControlNet,
    LoadDiffusionModel,
    LoadImage,
    LoadTextEncoder,
    LoadVAE,
    ReferenceGuide,
    SaveImage,
    SplitLayers,
    TextEncode,
    VAEDecode,
)

MODEL = "qwen-layered"


@pytest.fixture
def picture(pictures: Path) -> Path:
    """A picture half of which is transparent."""
    path = pictures / "half_clear.png"
    if not path.exists():
        whole = Pictures.open(pictures / "ramp.png").convert("RGBA").resize((SIZE, SIZE))
        whole.putalpha(Pictures.linear_gradient("L").resize((SIZE, SIZE)))
        whole.save(path)
    return path


def divided(model: Any, texts: Any, vae: Any, layers: int, scale: float, batch: int = 1, **guiding: Any) -> None:
    words, against = (TextEncode(texts, text) for text in (PROMPT, NEGATIVE))
    guide = CFGGuide(model, words, against, scale=scale, **{"normalise": False, **guiding})
    guide = ReferenceGuide(guide, vae, LoadImage("half_clear.png"))
    start = EmptyLayeredLatent(SIZE, SIZE, layers, batch)
    latent = KSampler(guide, start, seed=SEED, steps=STEPS, sampler="model")
    SaveImage(VAEDecode(vae, SplitLayers(latent)))


def dividing(layers: int = 2, scale: float = 4.0, batch: int = 1, **guiding: Any) -> Graph:
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(MODEL)
        divided(checkpoint.model, checkpoint.text_encoder, checkpoint.vae, layers, scale, batch, **guiding)
    return graph


CASES = [(2, 4.0, 1, False), (1, 4.0, 1, True), (3, 1.0, 1, False), (2, 4.0, 2, False), (1, 1.0, 1, False)]


@pytest.mark.parametrize(("layers", "scale", "batch", "normalised"), CASES)
def test_layers_of_a_picture(
    engine: Engine,
    oracle: Oracle,
    zoo: Any,
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
    layers: int,
    scale: float,
    batch: int,
    normalised: bool,
) -> None:
    zoo(MODEL)
    # The pipeline scales every picture to 640 or to 1024 pixels, which takes minutes here.
    monkeypatch.setattr(pipeline_qwenimage_layered, "calculate_dimensions", lambda area, ratio: (SIZE, SIZE))
    pipe = oracle.pipeline(MODEL)
    pipe.set_progress_bar_config(disable=True)
    given = {"negative_prompt": [NEGATIVE] * batch} if scale > 1 else {}
    made = pipe(
        [Pictures.open(picture)],
        [PROMPT] * batch,
        true_cfg_scale=scale,
        layers=layers,
        num_inference_steps=STEPS,
        generator=one_each(batch),
        cfg_normalize=normalised,
        **given,
    ).images
    theirs = numpy.stack([numpy.asarray(layer) for each in made for layer in each])[: layers * batch]
    ours = read_pixels(engine.run(dividing(layers, scale, batch, normalise=normalised)).paths)
    assert ours.shape == (layers * batch, SIZE, SIZE, 4) and theirs[..., :3].std() > 5
    assert numpy.abs(ours.astype(int) - theirs).max() <= 1


def test_its_parts_are_read_from_files_of_their_own(engine: Engine, models: Path, zoo: Any, picture: Path) -> None:
    folder = models / zoo(MODEL)
    save_file(layouts.weights(folder, "transformer"), models / "layers.safetensors")
    save_file(qwen_vae(folder), models / "layers-vae.safetensors")
    with Graph() as graph:
        model: Any = LoadDiffusionModel("layers.safetensors")
        divided(model, LoadTextEncoder(model, MODEL), LoadVAE(model, "layers-vae.safetensors"), 2, 4.0)
    whole, parts = (read_pixels(engine.run(one).paths) for one in (dividing(), graph))
    assert (whole == parts).all()


def test_latents_and_models_of_other_kinds_are_refused(engine: Engine, zoo: Any, picture: Path) -> None:
    zoo(MODEL)
    (problem,) = engine.check(dividing().replace({"load_checkpoint.source": zoo("qwen-image")})).problems
    assert problem.code == "wrong-latent"
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(MODEL)
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, PROMPT), scale=1.0)
        SaveImage(VAEDecode(checkpoint.vae, KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, sampler="model")))
    (problem,) = engine.check(graph).problems
    assert problem.code == "wrong-latent"


def test_a_model_that_is_given_no_picture_is_refused(engine: Engine, zoo: Any, picture: Path) -> None:
    zoo(MODEL)
    with refused("wrong-guide", node="k_sampler"):
        engine.run(dividing().replace({"k_sampler.guide": Link("cfg_guide")}))


def test_control_networks_are_refused(engine: Engine, zoo: Any, picture: Path) -> None:
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(zoo(MODEL))
        words, shown = TextEncode(checkpoint.text_encoder, PROMPT), LoadImage("half_clear.png")
        net = LoadControlNet(zoo("qwen-edges"))
        steered = ApplyControlNet(words, words, net, shown, vae=checkpoint.vae)
        guide = ReferenceGuide(CFGGuide(checkpoint.model, steered.positive, scale=1.0), checkpoint.vae, shown)
        latent = KSampler(guide, EmptyLayeredLatent(SIZE, SIZE, 1), seed=SEED, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, SplitLayers(latent)))
    (problem,) = engine.check(graph).problems
    assert problem.code == "wrong-control-net"


def test_latents_without_layers_are_not_split() -> None:
    with refused("wrong-latent"):
        SplitLayers(Latent(SIZE, SIZE, 1, torch.zeros(1, 16, 8, 8)))
