"""ComfyUI's graph of SDXL paints what its formulas give, by torch and diffusers' modules; that of Kontext runs."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image as Pictures

from tests.nodes.families.named_files import add_named, add_tokenizers
from tests.nodes.interop.classic import NEGATIVE, api
from tests.nodes.interop.flux_graphs import flux
from tests.nodes.oracle import Oracle
from weft.engine import Engine
from weft.engine.graph import document

PROMPT = "a red house by the lake"


def test_sdxl_paints_what_the_formulas_give(models: Path, zoo: Any, oracle: Oracle, tmp_path: Path) -> None:
    tree = api(zoo("sdxl"), steps=4, scheduler="karras", sampler_name="dpmpp_2m")
    tree["6"]["inputs"]["text"] = PROMPT
    with Engine(store=None, models=[models], output=tmp_path) as engine:
        paths = engine.run(document.read(json.dumps(tree))).paths
    ours = numpy.stack([numpy.asarray(Pictures.open(path)) for path in paths])
    theirs = restated(oracle.pipeline("sdxl"))
    assert theirs.std() > 5 and numpy.abs(ours.astype(int) - theirs).max() <= 1


def restated(pipeline: Any) -> Any:
    """Noise of a batch from one seed, Karras' levels, DPM-Solver++(2M), guidance at 4, the VAE."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = torch.cumprod(1 - betas, 0)
    trained = ((1 - alphas) / alphas).sqrt()
    roots = torch.linspace(trained[-1] ** (1 / 7), trained[0] ** (1 / 7), 4, dtype=torch.float64)
    sigmas = [*(roots**7).tolist(), 0.0]
    with torch.inference_mode():
        embedded = pipeline.encode_prompt(PROMPT, negative_prompt=NEGATIVE, device="cpu")
        prompts = [(embedded[at], embedded[at + 2]) for at in (0, 1)]
        sizes = torch.tensor([[64.0, 64, 0, 0, 64, 64]]).expand(2, -1)
        noise = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(7))
        x, old = noise * (1 + sigmas[0] ** 2) ** 0.5, None
        for at, (sigma, target) in enumerate(pairwise(sigmas)):
            seen, place = x / (1 + sigma**2) ** 0.5, int((trained.log() - torch.tensor(sigma).log()).abs().argmin())
            with_prompt, without = (
                pipeline.unet(
                    seen,
                    place,
                    prompt.expand(2, -1, -1),
                    added_cond_kwargs={"text_embeds": pooled.expand(2, -1), "time_ids": sizes},
                ).sample
                for prompt, pooled in prompts
            )
            denoised = x - sigma * (without + 4.0 * (with_prompt - without))
            used = denoised
            if old is not None and target:
                r = torch.tensor(sigmas[at - 1] / sigma).log() / torch.tensor(sigma / target).log()
                used = (1 + 1 / (2 * r)) * denoised - old / (2 * r)
            x, old = target / sigma * x + (1 - target / sigma) * used, denoised
        pixels = pipeline.vae.decode(x / 0.13025).sample
    return ((pixels / 2 + 0.5).clamp(0, 1) * 255).floor().permute(0, 2, 3, 1).numpy().astype(int)


def test_a_graph_of_kontext_runs_on_files_of_the_names_that_it_asks_for(
    models: Path, zoo: Any, pictures: Path, tmp_path: Path
) -> None:
    add_tokenizers(models)
    for name in ("flux1-dev", "clip_l", "t5xxl", "ae"):
        assert add_named(models, f"{name}.safetensors", lambda model: models / zoo(model))
    tree = flux(cond=("ReferenceLatent", {"conditioning": ["text", 0], "latent": ["latent", 0]}))
    tree["picture"]["inputs"]["image"] = "ramp.png"
    seen = {}
    for name, conditioning in (("with", ["cond", 0]), ("without", ["text", 0])):
        tree["sampler"]["inputs"]["positive"] = conditioning
        folders: Any = {"models": [models], "inputs": [pictures], "output": tmp_path / name}
        with Engine(store=None, **folders) as engine:
            (path,) = engine.run(document.read(json.dumps(tree))).paths
        seen[name] = numpy.asarray(Pictures.open(path)).astype(int)
    assert seen["with"].std() > 5 and numpy.abs(seen["with"] - seen["without"]).max() > 1
