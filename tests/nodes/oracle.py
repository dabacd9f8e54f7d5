"""diffusers' own pipelines over the tests' models: what Weft's pictures are compared with.

They are named in diffusers' own words (`CLASSES`, `SPACINGS`), not by Weft's table.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers as untyped
import numpy
import torch

diffusers: Any = untyped
"""diffusers' classes are called here as they are; they carry no types."""

Pixels = Any
"""Pictures `[batch, height, width, channel]` of bytes."""

VARIANTS = ("dpmpp_3m_sde", "dpmsolver_2m", "dpmsolver_2m_sde", "dpmsolver_2s")
"""Samplers that are another option of a class than one that is tried everywhere."""

PREDICTING_NOISE = {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}
"""DPM-Solver, which diffusers lets end at the lowest level of the training alone."""

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
    "dpmpp_3m": ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    "dpmpp_3m_sde": ("DPMSolverMultistepScheduler", {"solver_order": 3, "algorithm_type": "sde-dpmsolver++"}),
    "dpmsolver_2m": ("DPMSolverMultistepScheduler", PREDICTING_NOISE),
    "dpmsolver_2m_sde": ("DPMSolverMultistepScheduler", {**PREDICTING_NOISE, "algorithm_type": "sde-dpmsolver"}),
    "dpmsolver_2s": ("DPMSolverSinglestepScheduler", PREDICTING_NOISE),
    "deis": ("DEISMultistepScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "sa_solver": ("SASolverScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
}

SPACINGS: dict[str, dict[str, Any]] = {
    "model": {},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta": {"use_beta_sigmas": True},
    "sgm_uniform": {"timestep_spacing": "trailing"},
    "linspace": {"timestep_spacing": "linspace"},
    "ays": {},
}

OVER_FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}

FLOW_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "heun": ("FlowMatchHeunDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", OVER_FLOW),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {**OVER_FLOW, "algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_3m": ("DPMSolverMultistepScheduler", {**OVER_FLOW, "solver_order": 3}),
    "dpmpp_3m_sde": (
        "DPMSolverMultistepScheduler",
        {**OVER_FLOW, "solver_order": 3, "algorithm_type": "sde-dpmsolver++"},
    ),
    "deis": ("DEISMultistepScheduler", OVER_FLOW),
    "unipc": ("UniPCMultistepScheduler", OVER_FLOW),
    "lcm": ("FlowMatchLCMScheduler", {}),
}

EDM_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("EDMEulerScheduler", {}),
    "dpmpp_2m": ("EDMDPMSolverMultistepScheduler", {}),
    "dpmpp_2m_sde": ("EDMDPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_3m": ("EDMDPMSolverMultistepScheduler", {"solver_order": 3}),
}

STEPS, SCALE, SEED, SIZE = 5, 4.0, 7, 64
PROMPT, NEGATIVE = "a red house by the lake", "night"


def one_each(batch: int) -> list[torch.Generator]:
    """A CPU generator for each item."""
    return [torch.Generator("cpu").manual_seed(SEED + item) for item in range(batch)]


class Oracle:
    """diffusers' pipelines over the models of a folder; those that were used last stay loaded, `KEPT` of them."""

    KEPT = 6

    def __init__(self, models: Path) -> None:
        self.models = models
        self.loaded: dict[str, Any] = {}

    def paint(self, kind: Any, sampler: str, schedule: str = "model", *, batch: int = 1, **call: Any) -> Pixels:
        """Pictures of a pipeline class for the tests' prompts."""
        defaults = {"prompt": [PROMPT] * batch, "negative_prompt": [NEGATIVE] * batch, "guidance_scale": SCALE}
        return self.run(kind, sampler, schedule, batch=batch, **{**defaults, **call})

    def run(
        self,
        kind: Any,
        sampler: str,
        schedule: str = "model",
        *,
        model: str = "epsilon",
        batch: int = 1,
        parts: Mapping[str, Any] | None = None,
        prepare: Callable[[Any], None] = lambda pipeline: None,
        generators: Callable[[int], Any] = one_each,
        scheduling: Mapping[str, Any] | None = None,
        **call: Any,
    ) -> Pixels:
        """What a pipeline class makes of some arguments, by default given a list of CPU generators, one an item.

        Args:
            prepare: sets what the pipeline has no argument for.
            generators: gives those for a batch.
            scheduling: options of its scheduler in place of those of the checkpoint.
        """
        pipe = kind.from_pipe(self.pipeline(model), **(parts or {}))
        pipe.scheduler = self.scheduler(model, sampler, schedule, scheduling or {})
        pipe.set_progress_bar_config(disable=True)
        if isinstance(call.get("image"), torch.Tensor):
            # Latents are passed on as they are where an image processor knows them by their channels.
            pipe.image_processor.register_to_config(vae_latent_channels=call["image"].shape[1])
        prepare(pipe)
        spaced = {"timesteps": aligned(model)} if schedule == "ays" else {"num_inference_steps": STEPS}
        made = pipe(**{**spaced, **call}, generator=generators(batch)).images
        return made if isinstance(made, torch.Tensor) else numpy.stack([numpy.asarray(one) for one in made])

    def control_net(self, name: str) -> Any:
        return diffusers.ControlNetModel.from_pretrained(self.models / name)

    def certain_vae(self, model: str) -> Any:
        """The VAE of a checkpoint with a distribution of no width, for pipelines that draw from it."""
        vae = copy.deepcopy(self.pipeline(model).vae)
        ends = vae.quant_conv or vae.encoder.conv_out
        with torch.no_grad():
            for tensor, level in ((ends.weight, 0.0), (ends.bias, -30.0)):
                tensor[len(tensor) // 2 :] = level
        return vae

    def scheduler(self, model: str, sampler: str, schedule: str, given: Mapping[str, Any]) -> Any:
        config = json.loads((self.models / model / "scheduler" / "scheduler_config.json").read_text())
        own = config["_class_name"]
        flows = own.startswith("FlowMatch") or config.get("use_flow_sigmas")
        table = FLOW_CLASSES if flows else EDM_CLASSES if own.startswith("EDM") else CLASSES
        name, options = (own, {}) if sampler == "model" else table[sampler]
        level = config.get("shift", config.get("flow_shift"))
        shift = {"flow_shift": level, "shift": level} if flows else {}
        return getattr(diffusers, name).from_config({**config, **given}, **options, **shift, **SPACINGS[schedule])

    def pipeline(self, model: str) -> Any:
        """A checkpoint of the folder as diffusers loads it, in float32."""
        pipeline = self.loaded.pop(model, None)
        if pipeline is None:
            index = json.loads((self.models / model / "model_index.json").read_text())
            without = {name: None for name, kind in index.items() if kind == [None, None]}
            pipeline = diffusers.DiffusionPipeline.from_pretrained(self.models / model, **without).to(torch.float32)
        self.loaded[model] = pipeline
        for oldest in list(self.loaded)[: -self.KEPT]:
            del self.loaded[oldest]
        return pipeline


def aligned(model: str) -> list[int]:
    """Align Your Steps for a checkpoint, as diffusers' documentation gives it to pipelines."""
    found: list[int] = diffusers.schedulers.AysSchedules[
        f"StableDiffusion{'XL' if model.startswith('sdxl') else ''}Timesteps"
    ]
    return found


def assert_same(ours: Pixels, theirs: Pixels) -> None:
    """At most one level apart in every pixel, and no blank picture."""
    assert theirs.std() > 5
    assert ours.shape == theirs.shape
    assert numpy.abs(ours.astype(int) - theirs.astype(int)).max() <= 1
