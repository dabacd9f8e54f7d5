"""What A1111's web UI and its kin write into pictures, as a graph.

`weft.nodes.interop.a1111_text` reads the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from weft.engine.errors import Problem
from weft.engine.graph.graph import Graph, Link
from weft.nodes.interop.a1111_text import Parameters, has_parameters, read_parameters
from weft.nodes.interop.writing import ForeignDraft
from weft.nodes.sampling.sampler_choices import named_elsewhere
from weft.nodes.sampling.samplers import SamplerName
from weft.nodes.sampling.sigma_samplers import SIGMA_SAMPLERS

KEY = "parameters"
"""The name of the text in a picture, and of the only key of the object that carries it to here."""

SCHEDULES: Mapping[str, str] = {
    "automatic": "normal",
    "uniform": "normal",
    "normal": "normal",
    "karras": "karras",
    "exponential": "exponential",
    "sgm uniform": "sgm_uniform",
    "kl optimal": "kl_optimal",
    "simple": "simple",
    "ddim": "ddim_uniform",
    "beta": "beta",
}
"""Schedules by A1111's names, whose formulas are ComfyUI's."""

SAMPLERS: Mapping[str, SamplerName] = {
    "unipc": "unipc_bh1",
    "deis": "deis_tab",
    "dpmpp_3m_sde": "dpmpp_3m_sde_k",
    "ddim": "euler",
}
"""Samplers over noise levels for those whose name means a schedule's own steps here."""

UNREAD = ("Hires upscale", "Denoising strength", "ControlNet 0", "Refiner", "Mask blur")
"""Settings that change the picture and are not mapped, by the beginnings of their names."""


def read_a1111(tree: Mapping[str, Any], path: Path | None) -> Graph | None:
    """The graph that a picture's parameters describe; None where there are none."""
    text = tree.get(KEY)
    if tree.keys() != {KEY} or not isinstance(text, str) or not has_parameters(text):
        return None
    draft = ForeignDraft()
    _written(read_parameters(text), draft)
    title = path.stem if path else ""
    problems = tuple(replace(one, file=str(path) if path else "") for one in draft.problems)
    return replace(draft.graph(title, ""), path=path, faults=problems, foreign=True)


def _written(given: Parameters, draft: ForeignDraft) -> None:
    settings = given.settings
    loaded = draft.add("checkpoint", "LoadCheckpoint", {"source": _file(settings.get("Model", "model"))})
    model, text_encoder = _with_loras(given, loaded.output("model"), loaded.output("text_encoder"), draft)
    layer = _whole(settings.get("Clip skip", "1"), 1)
    texts = {"text_encoder": text_encoder, "clip_layer": layer if layer > 1 else None}
    positive = draft.add("positive", "TextEncode", {**texts, "text": given.prompt})
    against = draft.add("negative", "TextEncode", {**texts, "text": given.negative})
    width, height = (_whole(part, 512) for part in (*settings.get("Size", "512x512").split("x"), "512")[:2])
    latent = draft.add("latent", "EmptyLatent", {"width": width, "height": height})
    scale = _real(settings.get("CFG scale", "7"), 7.0)
    guided = {"model": model, "positive": positive, "negative": against, "scale": scale}
    guide = draft.add("guide", "CFGGuide", guided)
    sampler, schedule = _sampling(settings, draft)
    steps = _whole(settings.get("Steps", "20"), 20)
    spaced = {"model": model, "steps": steps, "schedule": schedule}
    sigmas = draft.add("sigmas", "MakeComfySigmas", spaced)
    run = {"guide": guide, "latent": latent, "sigmas": sigmas, "sampler": sampler}
    sampled = draft.add("sampler", "KSampler", {**run, "seed": _whole(settings.get("Seed", "0"), 0)})
    decoded = draft.add("decode", "VAEDecode", {"vae": loaded.output("vae"), "latent": sampled})
    draft.add("save", "SaveImage", {"image": decoded, "name": "image"})
    targets = {"prompt": "positive.text", "negative_prompt": "negative.text", "seed": "sampler.seed"}
    targets |= {"steps": "sigmas.steps", "cfg": "guide.scale", "width": "latent.width", "height": "latent.height"}
    for name, target in {**targets, "checkpoint": "checkpoint.source"}.items():
        draft.parameter(name, target, "")
    for name in settings:
        if name.startswith(UNREAD):
            draft.problems.append(_unread(f"the setting `{name}` is not mapped, and changes the picture"))


def _with_loras(given: Parameters, model: Link, text_encoder: Link, draft: ForeignDraft) -> tuple[Link, Link]:
    """The model and its text encoders with the LoRAs that the prompt names."""
    for one in given.loras:
        if one.kind == "hypernet":
            draft.problems.append(_unread(f"the hypernetwork `{one.name}` is not mapped, and changes the picture"))
            continue
        lora = draft.add("lora", "LoadLoRA", {"source": _file(one.name)})
        inputs = {"lora": lora, "model": model, "text_encoder": text_encoder, "strength": one.strength}
        made = draft.add("apply_lora", "ApplyLoRA", {**inputs, "text_encoder_strength": one.text_strength})
        model, text_encoder = made.output("model"), made.output("text_encoder")
    return model, text_encoder


def _unread(message: str) -> Problem:
    return Problem(message, "--partial goes without it", code="unmapped-node")


def _sampling(settings: Mapping[str, str], draft: ForeignDraft) -> tuple[str, str]:
    """The sampler and the schedule, which older versions write as one name."""
    label = settings.get("Sampler", "Euler")
    sampler, named = named_elsewhere(label)
    sampler = SAMPLERS.get(sampler, sampler) if sampler else None
    if sampler is None or sampler not in SIGMA_SAMPLERS:
        message = f"there is no sampler `{label}` over noise levels"
        draft.problems.append(Problem(message, "--partial takes euler", "sampler", "sampler", code="unmapped-node"))
        sampler = "euler"
    schedule = settings.get("Schedule type", named or "Automatic").lower().replace("_", " ")
    if schedule not in SCHEDULES:
        message = f"there is no schedule `{schedule}` here"
        draft.problems.append(Problem(message, "--partial takes normal", "sigmas", "schedule", code="unmapped-node"))
    return sampler, SCHEDULES.get(schedule, "normal")


def _file(model: str) -> str:
    return model if "." in model.rpartition("/")[2][-12:] or ":" in model else f"{model}.safetensors"


def _whole(text: str, default: int) -> int:
    return int(text) if re.fullmatch(r"\d{1,19}", text.strip()) else default


def _real(text: str, default: float) -> float:
    return float(text) if re.fullmatch(r"\d{1,9}(\.\d{0,9})?", text.strip()) else default
