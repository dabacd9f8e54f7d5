"""Pictures equal those of diffusers' own pipelines: at most 1/255 apart in every pixel of the saved PNG.

The oracle is told in diffusers' own words (`CLASSES`, `SPACINGS`), not by Weft's table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers as untyped
import numpy
import pytest
import torch
from PIL import Image as Pictures

from weft.engine import Engine, Graph, Link
from weft.nodes import LoadCheckpoint, LoadImage, VAEEncode
from weft.nodes.samplers import SAMPLERS

diffusers: Any = untyped
"""diffusers' classes are called here as they are; they carry no types."""

Pixels = Any

CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "ddpm": ("DDPMScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpm2": ("KDPM2DiscreteScheduler", {}),
    "dpm2_ancestral": ("KDPM2AncestralDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_2s": ("DPMSolverSinglestepScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
}

SPACINGS: dict[str, dict[str, Any]] = {
    "model": {},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta": {"use_beta_sigmas": True},
    "sgm_uniform": {"timestep_spacing": "trailing"},
}

PAIRS = [(sampler, schedule) for sampler, row in SAMPLERS.items() for schedule in row.schedules]

STEPS, SCALE, SEED, SIZE = 5, 4.0, 7, 64
PROMPT, NEGATIVE = "a red house by the lake", "night"


class Oracle:
    """diffusers' pipelines over the tiny models, loaded once."""

    def __init__(self, models: Path) -> None:
        self.models = models
        self.components: dict[str, dict[str, Any]] = {}

    def paint(
        self,
        kind: Any,
        sampler: str,
        schedule: str = "model",
        *,
        model: str = "epsilon",
        batch: int = 1,
        parts: Mapping[str, Any] | None = None,
        **call: Any,
    ) -> Pixels:
        """Pictures of a pipeline class, given a list of CPU generators, one an item."""
        pipe = kind(**self._components(model), **(parts or {}), safety_checker=None, feature_extractor=None)
        name, options = CLASSES[sampler]
        base = diffusers.PNDMScheduler.load_config(self.models / model, subfolder="scheduler")
        pipe.scheduler = getattr(diffusers, name).from_config(base, **options, **SPACINGS[schedule])
        pipe.set_progress_bar_config(disable=True)
        made = pipe(
            prompt=[PROMPT] * batch,
            negative_prompt=[NEGATIVE] * batch,
            guidance_scale=SCALE,
            num_inference_steps=STEPS,
            generator=[torch.Generator("cpu").manual_seed(SEED + item) for item in range(batch)],
            **call,
        )
        return numpy.stack([numpy.asarray(one) for one in made.images])

    def control_net(self, name: str) -> Any:
        return diffusers.ControlNetModel.from_pretrained(self.models / name)

    def _components(self, model: str) -> dict[str, Any]:
        if model not in self.components:
            pipe = diffusers.StableDiffusionPipeline.from_pretrained(self.models / model)
            named = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
            self.components[model] = {name: getattr(pipe, name) for name in named}
        return self.components[model]


@pytest.fixture(scope="session")
def oracle(models: Path) -> Oracle:
    return Oracle(models)


@pytest.fixture(scope="module")
def mean(engine: Engine) -> torch.Tensor:
    """The latents of a picture, as VAEEncode makes them."""
    with Graph(outputs={"latent": Link("vae_encode")}) as graph:
        VAEEncode(LoadCheckpoint("epsilon").vae, LoadImage("ramp.png"))
    samples: torch.Tensor = engine.run(graph).outputs["latent"].samples
    return samples


def assert_same(ours: Pixels, theirs: Pixels) -> None:
    """At most one level apart in every pixel, and no blank picture."""
    assert theirs.std() > 5
    assert ours.shape == theirs.shape
    assert numpy.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


def test_there_are_58_pairs() -> None:
    print(f"{len(PAIRS)} pairs of sampler and schedule, {2 * len(PAIRS)} with both predictions")
    assert len(PAIRS) == 58


@pytest.mark.parametrize("model", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("sampler", "schedule"), PAIRS)
def test_text_to_image(weft_paints: Any, oracle: Oracle, sampler: str, schedule: str, model: str) -> None:
    ours = weft_paints(model, sampler=sampler, schedule=schedule, batch=2)
    kind = diffusers.StableDiffusionPipeline
    theirs = oracle.paint(kind, sampler, schedule, model=model, batch=2, height=SIZE, width=SIZE)
    assert_same(ours, theirs)


@pytest.mark.parametrize("denoise", [0.7, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.2, 0.45, 1.0))])
@pytest.mark.parametrize(("sampler", "schedule"), PAIRS)
def test_image_to_image(
    weft_paints: Any, oracle: Oracle, mean: torch.Tensor, sampler: str, schedule: str, denoise: float
) -> None:
    ours = weft_paints(image="ramp.png", sampler=sampler, schedule=schedule, denoise=denoise)
    kind = diffusers.StableDiffusionImg2ImgPipeline
    assert_same(ours, oracle.paint(kind, sampler, schedule, image=mean, strength=denoise))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_control_net(weft_paints: Any, oracle: Oracle, pictures: Path, sampler: str) -> None:
    edges = {"net": "edges", "image": "stripes.png", "strength": 0.8, "end": 0.7}
    ours = weft_paints(sampler=sampler, controls=[edges], batch=2)
    theirs = oracle.paint(
        diffusers.StableDiffusionControlNetPipeline,
        sampler,
        batch=2,
        parts={"controlnet": oracle.control_net("edges")},
        image=Pictures.open(pictures / "stripes.png"),
        controlnet_conditioning_scale=0.8,
        control_guidance_end=0.7,
    )
    assert_same(ours, theirs)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_two_control_nets(weft_paints: Any, oracle: Oracle, pictures: Path, sampler: str) -> None:
    edges = {"net": "edges", "image": "stripes.png", "strength": 0.8}
    depth = {"net": "depth", "image": "ramp.png", "strength": 1.2, "start": 0.2, "end": 0.9}
    ours = weft_paints(sampler=sampler, controls=[edges, depth])
    theirs = oracle.paint(
        diffusers.StableDiffusionControlNetPipeline,
        sampler,
        parts={"controlnet": [oracle.control_net("edges"), oracle.control_net("depth")]},
        image=[Pictures.open(pictures / "stripes.png"), Pictures.open(pictures / "ramp.png")],
        controlnet_conditioning_scale=[0.8, 1.2],
        control_guidance_start=[0.0, 0.2],
        control_guidance_end=[1.0, 0.9],
    )
    assert_same(ours, theirs)


def test_a_control_net_that_pools_its_output(weft_paints: Any, oracle: Oracle, pictures: Path) -> None:
    theirs = oracle.paint(
        diffusers.StableDiffusionControlNetPipeline,
        "euler",
        parts={"controlnet": oracle.control_net("style")},
        image=Pictures.open(pictures / "ramp.png"),
    )
    assert_same(weft_paints(sampler="euler", controls=[{"net": "style", "image": "ramp.png"}]), theirs)


@pytest.mark.parametrize("sampler", [name for name, row in SAMPLERS.items() if "sample" in row.predictions])
def test_sample_prediction(weft_paints: Any, oracle: Oracle, sampler: str) -> None:
    theirs = oracle.paint(diffusers.StableDiffusionPipeline, sampler, model="sample", height=SIZE, width=SIZE)
    assert_same(weft_paints("sample", sampler=sampler), theirs)


def test_a_model_distilled_with_guidance(weft_paints: Any, oracle: Oracle) -> None:
    """Its scale is embedded with the timestep, and no negative prompt is computed."""
    theirs = oracle.paint(diffusers.StableDiffusionPipeline, "lcm", model="distilled", height=SIZE, width=SIZE)
    assert_same(weft_paints("distilled", sampler="lcm"), theirs)


def test_eta(weft_paints: Any, oracle: Oracle) -> None:
    theirs = oracle.paint(diffusers.StableDiffusionPipeline, "ddim", batch=2, eta=0.6, height=SIZE, width=SIZE)
    assert_same(weft_paints(sampler="ddim", eta=0.6, batch=2), theirs)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_batch_equals_single_runs(weft_paints: Any, sampler: str) -> None:
    batch = weft_paints(sampler=sampler, batch=4)
    single = numpy.concatenate([weft_paints(sampler=sampler, seed=SEED + item) for item in range(4)])
    assert_same(batch, single)
