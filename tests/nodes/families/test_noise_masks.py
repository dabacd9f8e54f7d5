"""Inpainting with any model: pictures under a noise mask equal those of diffusers' inpainting pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures

from tests.nodes.conftest import read_pixels
from tests.nodes.families.test_inpainting import guide
from tests.nodes.families.test_text_to_image import GUIDED
from tests.nodes.oracle import SEED, SIZE, STEPS, Oracle, Pixels, assert_same, diffusers
from weft.engine import Engine, Graph, Link
from weft.nodes import (
    ImageToMask,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    SaveImage,
    SetNoiseMask,
    VAEDecode,
    VAEEncode,
)
from weft.nodes.sampling.samplers import SAMPLERS

FAMILIES = {
    "sd2": "StableDiffusion",
    "sdxl": "StableDiffusionXL",
    "sd3": "StableDiffusion3",
    "flux-dev": "Flux",
    "flux-schnell": "Flux",
    "qwen-image": "QwenImage",
}
"""What diffusers calls the pipelines of a checkpoint. Z-Image's takes no latents of a masked picture."""

KINDS = ("pndm", "euler_ancestral", "heun", "dpmpp_2m_sde", "sa_solver")
"""Samplers that are tried by default with SD 1, of each kind; `pytest -m slow` tries all."""

UNETS = ("euler_ancestral", "heun", "dpmpp_2m")
"""Samplers that are tried with the UNets of other families than SD 1."""


@pytest.fixture(scope="module")
def cloud(pictures: Path) -> str:
    """A picture of grey levels of every kind, for masks: smooth, and different at each latent element."""
    across, down = numpy.meshgrid(numpy.linspace(0, 1, SIZE), numpy.linspace(0, 1, SIZE))
    levels = 0.5 + 0.5 * numpy.sin(5 * across + 1) * numpy.cos(4 * down)
    Pictures.fromarray((20 + 230 * levels).round().astype("uint8")).save(pictures / "cloud.png")
    return "cloud.png"


def masked(model: str, mask: str, mode: Any, **sampling: Any) -> Graph:
    """Repaint under a mask."""
    outputs = {"source": Link("vae_encode"), "latent": Link("k_sampler"), "mask": Link("image_to_mask")}
    with Graph(outputs=outputs) as graph:
        checkpoint = LoadCheckpoint(model)
        source = VAEEncode(checkpoint.vae, LoadImage("ramp.png"))
        start = SetNoiseMask(source, ImageToMask(LoadImage(mask)), mode=mode)
        latent = KSampler(guide(checkpoint), start, **{"seed": SEED, "steps": STEPS, **sampling})
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


def theirs(
    oracle: Oracle, kind: str, sampler: str, source: torch.Tensor, mask: Any, schedule: str = "model", **call: Any
) -> Pixels:
    """What an inpainting pipeline makes of a picture's mean latents, which it would draw from a distribution."""
    model = call["model"]
    given = source[:, :, None] if model == "qwen-image" else source
    parts = {"image": source, "mask_image": mask, "masked_image_latents": given, **GUIDED.get(model, {})}
    pipeline = getattr(diffusers, f"{kind}InpaintPipeline")
    # This pipeline leaves the shift of the VAE out where it decodes, and no other does.
    form: dict[str, Any] = {"output_type": "latent"} if model == "sd3" else {}
    made = oracle.paint(pipeline, sampler, schedule, **parts, height=SIZE, width=SIZE, **form, **call)
    return decoded(oracle, model, made) if form else made


def decoded(oracle: Oracle, model: str, latents: torch.Tensor) -> Pixels:
    """Latents decoded by a model's VAE."""
    pipeline = oracle.pipeline(model)
    scaled = latents / pipeline.vae.config.scaling_factor + pipeline.vae.config.shift_factor
    with torch.no_grad():
        pictures = pipeline.image_processor.postprocess(pipeline.vae.decode(scaled).sample, output_type="pil")
    return numpy.stack([numpy.asarray(picture) for picture in pictures])


@pytest.mark.parametrize(
    "denoise", [0.7, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.2, 0.45, 0.99, 1.0))]
)
@pytest.mark.parametrize(
    ("sampler", "schedule"),
    [
        pytest.param(sampler, schedule, marks=[] if sampler in KINDS and schedule == "model" else [pytest.mark.slow])
        for sampler, row in SAMPLERS.items()
        for schedule in row.schedules
        # Given timesteps, the pipeline counts each that `heun` lists twice as two steps of the strength.
        if (sampler, schedule) != ("heun", "ays")
    ],
)
def test_every_sampler(
    engine: Engine, oracle: Oracle, pictures: Path, sampler: Any, schedule: Any, denoise: float
) -> None:
    sampling = {"sampler": sampler, "schedule": schedule, "denoise": denoise}
    steps = 10 if schedule == "ays" else STEPS  # Align Your Steps has ten.
    ours = engine.run(masked("epsilon", "stripes.png", "hard", steps=steps, **sampling))
    mask = Pictures.open(pictures / "stripes.png")
    options: dict[str, Any] = {"model": "epsilon", "strength": denoise}
    made = theirs(oracle, "StableDiffusion", sampler, ours.outputs["source"].samples, mask, schedule, **options)
    assert_same(read_pixels(ours.paths), made)


QUICK = (("flux-schnell", "model", 0.6),)


@pytest.mark.parametrize(
    ("model", "sampler", "denoise"),
    [
        pytest.param(model, sampler, denoise, marks=[] if (model, sampler, denoise) in QUICK else [pytest.mark.slow])
        for model in FAMILIES
        for sampler in ("model", *(UNETS if model in ("sd2", "sdxl") else ()))
        for denoise in (1.0, 0.6)
    ],
)
def test_every_family(
    zoo: Any, engine: Engine, oracle: Oracle, pictures: Path, model: str, sampler: Any, denoise: float
) -> None:
    ours = engine.run(masked(zoo(model), "stripes.png", "hard", sampler=sampler, denoise=denoise))
    mask = Pictures.open(pictures / "stripes.png")
    options: dict[str, Any] = {"model": model, "strength": denoise}
    made = theirs(oracle, FAMILIES[model], sampler, ours.outputs["source"].samples, mask, **options)
    assert_same(read_pixels(ours.paths), made)


def not_binary(pipeline: Any) -> None:
    """Let a pipeline of diffusers read a mask as it is."""
    pipeline.mask_processor.register_to_config(do_binarize=False)


@pytest.mark.parametrize(("model", "sampler"), [("epsilon", "euler_ancestral"), ("flux-schnell", "model")])
def test_a_soft_mask_mixes_in_each_step(
    zoo: Any, engine: Engine, oracle: Oracle, pictures: Path, cloud: str, model: str, sampler: Any
) -> None:
    """diffusers' pipelines do so with a mask that is not made black and white."""
    named = model if model == "epsilon" else zoo(model)
    ours = engine.run(masked(named, cloud, "soft", sampler=sampler, denoise=0.8))
    kind = FAMILIES.get(model, "StableDiffusion")
    options: dict[str, Any] = {"model": model, "strength": 0.8, "prepare": not_binary}
    made = theirs(oracle, kind, sampler, ours.outputs["source"].samples, Pictures.open(pictures / cloud), **options)
    assert_same(read_pixels(ours.paths), made)


class Differential:
    """Differential diffusion as a callback of diffusers' image-to-image pipelines (algorithm 1 of the paper).

    Args:
        strengths: of each latent element `[1, 1, height, width]`.
        source: the picture's latents.
    """

    def __init__(self, strengths: torch.Tensor, source: torch.Tensor) -> None:
        self.kept = 1 - strengths
        self.source = source
        self.noise = torch.randn(source.shape, generator=torch.Generator().manual_seed(SEED))

    def __call__(self, pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        walked = pipeline.scheduler.timesteps[-pipeline.num_timesteps :]
        if index + 1 == len(walked):
            return tensors
        following = walked[index + 1 : index + 2]
        if hasattr(pipeline.scheduler, "scale_noise"):
            held = pipeline.scheduler.scale_noise(self.source, following, self.noise)
        else:
            held = pipeline.scheduler.add_noise(self.source, self.noise, following)
        latents = tensors["latents"]
        packed = latents.ndim == 3
        if packed:
            latents = pipeline._unpack_latents(latents, SIZE, SIZE, pipeline.vae_scale_factor)
        latents = torch.where(self.kept > (index + 1) / len(walked), held, latents)
        if packed:
            latents = pipeline._pack_latents(latents, 1, latents.shape[1], *latents.shape[2:])
        return {"latents": latents}


@pytest.mark.parametrize("denoise", [1.0, 0.8])
@pytest.mark.parametrize(
    ("model", "kind", "sampler"),
    [
        *(("epsilon", "StableDiffusion", sampler) for sampler in ("ddim", "euler_ancestral", "dpmpp_2m")),
        *(
            pytest.param(model, kind, "model", marks=pytest.mark.slow)
            for model, kind in (("sdxl", "StableDiffusionXL"), ("flux-schnell", "Flux"))
        ),
    ],
)
def test_a_differential_mask_is_a_strength_for_each_element(
    zoo: Any, engine: Engine, oracle: Oracle, cloud: str, model: str, kind: str, sampler: Any, denoise: float
) -> None:
    ours = engine.run(
        masked(model if model == "epsilon" else zoo(model), cloud, "differential", sampler=sampler, denoise=denoise)
    )
    source, mask = ours.outputs["source"].samples, ours.outputs["mask"].coverage
    strengths = torch.nn.functional.interpolate(mask[:, None], source.shape[2:], mode="bilinear")
    size: dict[str, Any] = {"height": SIZE, "width": SIZE} if kind == "Flux" else {}
    made = oracle.paint(
        getattr(diffusers, f"{kind}Img2ImgPipeline"),
        sampler,
        model=model,
        image=source,
        strength=denoise,
        callback_on_step_end=Differential(strengths, source),
        **size,
    )
    assert_same(read_pixels(ours.paths), made)


def test_what_is_outside_is_the_source_exactly(engine: Engine, cloud: str) -> None:
    """At the end, and in the preview of each step."""
    outside = slice(0, 2)  # The first rows of elements are black in the stripes' upper left corner.
    for mode in ("hard", "soft", "differential"):
        ours = engine.run(masked("epsilon", "stripes.png", mode, sampler="dpmpp_2m")).outputs
        changed = (ours["latent"].samples != ours["source"].samples)[0].any(0)
        assert changed.any() and not changed[outside, outside].any()
        assert ours["latent"].mask is None
