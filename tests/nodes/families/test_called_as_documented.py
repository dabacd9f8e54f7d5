"""Pictures equal those of diffusers' pipelines called as their documentation does: pictures in, one generator.

The latents of pictures are drawn from the VAE's distribution then, noise follows from the same generator, and that of a
batch is drawn at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Pictures

from tests.nodes.conftest import read_pixels
from tests.nodes.families.test_inpainting import guide
from tests.nodes.families.test_noise_masks import decoded
from tests.nodes.families.test_text_to_image import GUIDED
from tests.nodes.oracle import NEGATIVE, PROMPT, SEED, SIZE, STEPS, Oracle, Pixels, assert_same, diffusers
from weft.engine import Engine, Graph
from weft.nodes import (
    EmptyLatent,
    ImageToMask,
    InpaintGuide,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    RepeatLatent,
    SaveImage,
    SetNoiseMask,
    VAEDecode,
    VAEEncode,
)

KINDS = {
    "epsilon": "StableDiffusion",
    "sd2": "StableDiffusion",
    "sdxl": "StableDiffusionXL",
    "sd3": "StableDiffusion3",
    "flux-dev": "Flux",
    "flux-schnell": "Flux",
    "z-image": "ZImage",
    "qwen-image": "QwenImage",
}
SIZED = ("sd3", "flux-dev", "flux-schnell", "z-image", "qwen-image")
QUICK = ("epsilon", "flux-schnell")
MODELS = [pytest.param(model, marks=[] if model in QUICK else [pytest.mark.slow]) for model in KINDS]
QUICKLY = ("euler_ancestral",)
SAMPLERS = [
    pytest.param(sampler, marks=[] if sampler in QUICKLY else [pytest.mark.slow])
    for sampler in ("ddim", "euler_ancestral", "dpmpp_2m_sde", "lcm")
]
"""All but the first draw noise in each step."""

STRENGTHS = [pytest.param(1.0, marks=pytest.mark.slow), 0.6]


def theirs(oracle: Oracle, kind: str, model: str, sampler: str = "model", batch: int = 1, **call: Any) -> Pixels:
    """What a pipeline makes with one generator."""
    size = {"height": SIZE, "width": SIZE} if model in SIZED or "mask_image" in call or "image" not in call else {}
    texts: dict[str, Any] = {"prompt": [PROMPT] * batch, "negative_prompt": [NEGATIVE] * batch}
    guidance = {"guidance_scale": 4.0, **GUIDED.get(model, {})}
    given = {**texts, **guidance, **size, **call}
    return oracle.run(getattr(diffusers, kind), sampler, model=model, generators=one_generator, **given)


def one_generator(batch: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(SEED)


def ours(engine: Engine, model: str, latent: Any, mask: Any = None, **sampling: Any) -> Pixels:
    """Sample what `latent` makes of a checkpoint's VAE, under a guide that sees a masked picture where there is one."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        guided = guide(checkpoint)
        if mask:
            guided = InpaintGuide(guided, checkpoint.vae, LoadImage("ramp.png"), mask(), sample=True)
        given = {"seed": SEED, "steps": STEPS, "sampler": "model", "generator": "batch", **sampling}
        SaveImage(VAEDecode(checkpoint.vae, KSampler(guided, latent(checkpoint.vae), **given)))
    return read_pixels(engine.run(graph).paths)


def stripes() -> Any:
    return ImageToMask(LoadImage("stripes.png"))


def encoded(vae: Any) -> Any:
    return VAEEncode(vae, LoadImage("ramp.png"), sample=True)


def covered(vae: Any) -> Any:
    return SetNoiseMask(encoded(vae), stripes())


def named(zoo: Any, model: str) -> str:
    return model if model == "epsilon" else str(zoo(model))


def picture(pictures: Path) -> Any:
    return Pictures.open(pictures / "ramp.png")


def white(pictures: Path) -> Any:
    return Pictures.open(pictures / "stripes.png")


@pytest.mark.parametrize("model", MODELS)
def test_image_to_image(zoo: Any, engine: Engine, oracle: Oracle, pictures: Path, model: str) -> None:
    made = ours(engine, named(zoo, model), encoded, denoise=0.6)
    assert_same(made, theirs(oracle, f"{KINDS[model]}Img2ImgPipeline", model, image=picture(pictures), strength=0.6))


@pytest.mark.parametrize("model", MODELS)
def test_inpainting_with_an_ordinary_network(
    zoo: Any, engine: Engine, oracle: Oracle, pictures: Path, model: str
) -> None:
    made = ours(engine, named(zoo, model), covered, denoise=0.6)
    form: dict[str, Any] = {"output_type": "latent"} if model == "sd3" else {}
    parts = {"image": picture(pictures), "mask_image": white(pictures), "strength": 0.6, **form}
    other = theirs(oracle, f"{KINDS[model]}InpaintPipeline", model, **parts)
    assert_same(made, decoded(oracle, model, other) if form else other)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_samplers_that_draw_noise(
    engine: Engine, oracle: Oracle, pictures: Path, sampler: Any, strength: float
) -> None:
    """Their noise comes after that of the pictures."""
    given: dict[str, Any] = {"image": picture(pictures), "strength": strength}
    changed = ours(engine, "epsilon", encoded, sampler=sampler, denoise=strength)
    assert_same(changed, theirs(oracle, "StableDiffusionImg2ImgPipeline", "epsilon", sampler, **given))
    repainted = ours(engine, "epsilon", covered, sampler=sampler, denoise=strength)
    given["mask_image"] = white(pictures)
    assert_same(repainted, theirs(oracle, "StableDiffusionInpaintPipeline", "epsilon", sampler, **given))


@pytest.mark.parametrize("sampler", SAMPLERS[:2])
@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("inpaint", "StableDiffusion"),
        pytest.param("sd2-inpaint", "StableDiffusion", marks=pytest.mark.slow),
        pytest.param("sdxl-inpaint", "StableDiffusionXL", marks=pytest.mark.slow),
    ],
)
def test_inpainting_networks(
    zoo: Any, engine: Engine, oracle: Oracle, pictures: Path, model: str, kind: str, sampler: Any, strength: float
) -> None:
    """At full strength the picture itself is not encoded."""
    start = encoded if strength < 1 else lambda vae: EmptyLatent(SIZE, SIZE)
    made = ours(engine, zoo(model), start, stripes, sampler=sampler, denoise=strength)
    parts: dict[str, Any] = {"image": picture(pictures), "mask_image": white(pictures), "strength": strength}
    assert_same(made, theirs(oracle, f"{kind}InpaintPipeline", model, sampler, **parts))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_batch_from_one_generator(engine: Engine, oracle: Oracle, sampler: Any) -> None:
    """`num_images_per_prompt=4` with one generator."""
    made = ours(engine, "epsilon", lambda vae: EmptyLatent(SIZE, SIZE, 4), sampler=sampler)
    assert_same(made, theirs(oracle, "StableDiffusionPipeline", "epsilon", sampler, num_images_per_prompt=4))


@pytest.mark.parametrize("kind", ["Img2Img", "Inpaint"])
def test_variants_of_one_picture_from_one_generator(engine: Engine, oracle: Oracle, pictures: Path, kind: str) -> None:
    """The picture's latents are drawn once, and the noise for each."""
    start = encoded if kind == "Img2Img" else covered
    made = ours(
        engine, "epsilon", lambda vae: RepeatLatent(start(vae), times=3), sampler="euler_ancestral", denoise=0.6
    )
    parts: dict[str, Any] = {"image": picture(pictures), "strength": 0.6, "num_images_per_prompt": 3}
    mask = {} if kind == "Img2Img" else {"mask_image": white(pictures)}
    assert_same(made, theirs(oracle, f"StableDiffusion{kind}Pipeline", "epsilon", "euler_ancestral", **parts, **mask))


def test_a_batch_of_pictures_from_a_generator_each(engine: Engine, oracle: Oracle, pictures: Path) -> None:
    made = ours(
        engine,
        "epsilon",
        lambda vae: RepeatLatent(encoded(vae), times=2),
        generator="item",
        sampler="euler_ancestral",
        denoise=0.6,
    )
    parts: dict[str, Any] = {"image": [picture(pictures)] * 2, "strength": 0.6, "batch": 2}
    assert_same(made, oracle.paint(diffusers.StableDiffusionImg2ImgPipeline, "euler_ancestral", **parts))


@pytest.mark.slow
@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_flux_fill(zoo: Any, engine: Engine, oracle: Oracle, pictures: Path, strength: float) -> None:
    """Its pipeline draws the latents of the picture at full strength too."""
    made = ours(engine, zoo("flux-fill"), encoded, stripes, denoise=strength)
    parts: dict[str, Any] = {"image": picture(pictures), "mask_image": white(pictures), "strength": strength}
    other = oracle.run(
        diffusers.FluxFillPipeline,
        "model",
        model="flux-fill",
        generators=one_generator,
        prompt=[PROMPT],
        guidance_scale=4.0,
        height=SIZE,
        width=SIZE,
        **parts,
    )
    assert_same(made, other)
