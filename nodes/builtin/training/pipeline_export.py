"""Write trained models as folders in the layout of diffusers, with fp16 weights, whole or not at all."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import nn
from transformers import CLIPTextModel

from .unet_stage import SCHEDULER
from .vocabulary import new_tokenizer

__all__ = ["export_module", "export_pipeline", "new_scheduler"]

_FOR_OTHER_SCHEDULERS = {"clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1}
"""Options that DPM-Solver++ ignores, but DDIM, DDPM and PNDM need when they are made from its configuration."""


def new_scheduler() -> DPMSolverMultistepScheduler:
    """DPM-Solver++ 2M over the timesteps that the UNet was trained on."""
    scheduler: DPMSolverMultistepScheduler = DPMSolverMultistepScheduler.from_config(
        {**SCHEDULER, **_FOR_OTHER_SCHEDULERS}
    )
    return scheduler


def export_pipeline(vae: AutoencoderKL, unet: UNet2DConditionModel, text_encoder: CLIPTextModel, folder: Path) -> None:
    """Write a pipeline of these parts into `folder`."""
    with _rewritten(folder) as partial:
        parts: dict[str, Any] = {
            "vae": vae,
            "text_encoder": text_encoder,
            "tokenizer": new_tokenizer(partial / "tokenizer"),
            "unet": unet,
            "scheduler": new_scheduler(),
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        }
        StableDiffusionPipeline(**parts).to(torch.float16).save_pretrained(partial)
        _load_in_float32(partial / "text_encoder" / "config.json")


def export_module(module: ModelMixin, folder: Path) -> None:
    """Write one module into `folder`."""
    with _rewritten(folder) as partial:
        nn.Module.to(module, torch.float16)
        module.save_pretrained(partial)


@contextmanager
def _rewritten(folder: Path) -> Iterator[Path]:
    """A folder next to `folder` to write into, which replaces it at the end."""
    partial, old = folder.with_name(f".{folder.name}.partial"), folder.with_name(f".{folder.name}.old")
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    yield partial
    for file in partial.rglob("*.safetensors"):
        file.chmod(0o644)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _load_in_float32(config: Path) -> None:
    """Let transformers widen the fp16 weights as it loads them, as diffusers does, so that the parts agree."""
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "float32"}, indent=2) + "\n")
