"""Maps of pictures by Lotus equal a plain re-statement of its authors' code with diffusers' modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures
from safetensors.torch import save_file

from tests.nodes import layouts
from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import SEED, SIZE, Oracle, assert_same
from tests.refusals import names, refused
from weft.engine import Engine, Graph, Link
from weft.nodes import (
    CFGGuide,
    DensePredictionGuide,
    EditGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadDiffusionModel,
    LoadImage,
    LoadTextEncoder,
    LoadVAE,
    SaveImage,
    TextEncode,
    VAEDecode,
    VAEEncode,
)
from weft.nodes.families.lotus import LotusDenoiser


def mapping(model: str, sampler: Any = "model", batch: int = 1, guided: bool = True, steps: int = 1) -> Graph:
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(model)
        guide: Any = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, ""), scale=1.0)
        picture = LoadImage("ramp.png")
        if guided:
            guide = DensePredictionGuide(guide, VAEEncode(checkpoint.vae, picture))
        else:
            guide = EditGuide(guide, checkpoint.vae, picture)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE, batch), seed=SEED, steps=steps, sampler=sampler)
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


def restated(pipeline: Any, picture: Path, noise: torch.Tensor) -> Any:
    """One call of the UNet at timestep 999, with the empty prompt unpadded and the switch for maps."""
    levels = torch.from_numpy(numpy.array(Pictures.open(picture).convert("RGB")))
    pixels = levels.permute(2, 0, 1)[None] / 127.5 - 1
    switch = torch.tensor([[1.0, 0.0]])
    with torch.inference_mode():
        tokens = pipeline.tokenizer("", padding="do_not_pad", return_tensors="pt").input_ids
        seen = pipeline.vae.encode(pixels).latent_dist.mode() * pipeline.vae.config.scaling_factor
        seen = seen.expand(len(noise), -1, -1, -1)
        found = pipeline.unet(
            torch.cat([seen, noise], 1) if pipeline.unet.config.in_channels == 8 else seen,
            999,
            encoder_hidden_states=pipeline.text_encoder(tokens)[0].expand(len(noise), -1, -1),
            class_labels=torch.cat([switch.sin(), switch.cos()], -1),
        ).sample
        map = pipeline.vae.decode(found / pipeline.vae.config.scaling_factor).sample
    return ((map / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def noise_of(*seeds: int) -> torch.Tensor:
    drawn = [torch.randn(1, 4, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(one)) for one in seeds]
    return torch.cat(drawn)


@pytest.mark.parametrize("sampler", ["model", "dpmpp_2m"])
@pytest.mark.parametrize("model", ["lotus", "lotus-noisy"])
def test_a_map(engine: Engine, oracle: Oracle, zoo: Any, pictures: Path, model: str, sampler: str) -> None:
    ours = read_pixels(engine.run(mapping(zoo(model), sampler, batch=2)).paths)
    theirs = restated(oracle.pipeline(model), pictures / "ramp.png", noise_of(SEED, SEED + 1))
    assert_same(ours, theirs)


def test_its_parts_are_read_from_files_of_their_own(engine: Engine, models: Path, zoo: Any) -> None:
    folder = models / zoo("lotus")
    save_file(layouts.weights(folder, "unet"), models / "lotus-d.safetensors")
    save_file(layouts.weights(folder, "text_encoder"), models / "lotus-text.safetensors")
    save_file(layouts.vae(folder, ""), models / "lotus-vae.safetensors")
    whole = mapping("lotus")
    with Graph() as graph:
        model: Any = LoadDiffusionModel("lotus-d.safetensors")
        vae: Any = LoadVAE(model, "lotus-vae.safetensors")
        words = TextEncode(LoadTextEncoder(model, "lotus-text.safetensors"), "")
        guide = DensePredictionGuide(CFGGuide(model, words, scale=1.0), VAEEncode(vae, LoadImage("ramp.png")))
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=1, sampler="model")
        SaveImage(VAEDecode(vae, latent))
    assert (read_pixels(engine.run(graph).paths) == read_pixels(engine.run(whole).paths)).all()


def test_more_steps_and_other_guides_are_refused_before_a_run(engine: Engine, zoo: Any) -> None:
    (problem,) = engine.check(mapping(zoo("lotus"), steps=4)).problems
    assert (problem.node, problem.input, problem.code) == ("k_sampler", "steps", "out-of-range")
    (problem,) = engine.check(mapping(zoo("lotus"), guided=False)).problems
    assert problem.code == "wrong-guide" and names(problem, "edit_guide", "Lotus")
    (problem,) = engine.check(mapping(zoo("edit"))).problems
    assert problem.code == "wrong-guide" and names(problem, "dense_prediction_guide", "SD1")
    plain = mapping("lotus").replace({"k_sampler.guide": Link("cfg_guide")})
    (problem,) = engine.check(plain).problems
    assert problem.code == "wrong-guide" and names(problem, 4)


def test_more_steps_are_refused_in_a_run_too() -> None:
    denoiser: Any = object()
    with refused("out-of-range"):
        LotusDenoiser.timing(denoiser, 2, denoiser)
