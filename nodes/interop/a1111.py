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
from weft.engine.types import shown
from weft.nodes.interop.a1111_hires import READ, SECOND_SIZE, FirstPass, enlarged, painted_share, second_size
from weft.nodes.interop.a1111_prompts import prompts_in
from weft.nodes.interop.a1111_text import Parameters, has_parameters, read_parameters, without_loras
from weft.nodes.interop.writing import ForeignDraft, Made
from weft.nodes.sampling.sampler_choices import named_elsewhere
from weft.nodes.sampling.samplers import SamplerName
from weft.nodes.sampling.sigma_samplers import SIGMA_SAMPLERS
from weft.nodes.sizes import Size

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

NOTES = (
    "A1111 weights words by scaling their embeddings and bringing back the mean of all; here they are moved away from "
    "the prompt without these words. It draws noise on the GPU unless `RNG` is CPU; here it is drawn on the CPU. "
    "Prompts after AND guide side by side by their weights, parts between BREAK are encoded one by one, and [word] "
    "weighs 1/1.1."
)
"""What every graph of its parameters says."""

UNREAD = (
    *("Hires", "Denoising strength", "ControlNet", "Refiner", "Mask blur", "Variation seed", "Seed resize"),
    *("Tiling", "Face restoration", "Eta", "ENSD", "RP Active", "ADetailer model", "AddNet Enabled", "SD upscale"),
    *("Dynamic thresholding enabled", "Conditional mask", "Noise multiplier", "Token merging ratio", "Hypernet"),
    *("Schedule min sigma", "Schedule max sigma", "Schedule rho", "NGMS", "Skip Early CFG", "SGM noise multiplier"),
)
"""Settings that change the picture and are not mapped, by the beginnings of their names."""

PARAMETERS = (
    *(("prompt", "positive.text"), ("negative_prompt", "negative.text"), ("seed", "sampler.seed")),
    *(("steps", "sigmas.steps"), ("cfg", "guide.scale"), ("width", "latent.width"), ("height", "latent.height")),
    *(("checkpoint", "checkpoint.source"), ("seed", "sampler_larger.seed"), ("steps", "sigmas_larger.steps")),
    *(("denoise", "sigmas_larger.denoise"), ("upscaler", "upscaler.source")),
)
"""Parameters, and the inputs that they set; two of one name and one value are one."""

OFF = frozenset({"", "0", "0.0", "false", "none", "off"})
"""Values of settings that change nothing."""


def read_a1111(tree: Mapping[str, Any], path: Path | None) -> Graph | None:
    """The graph that a picture's parameters describe; None where there are none."""
    text = tree.get(KEY)
    if tree.keys() != {KEY} or not isinstance(text, str) or not has_parameters(text):
        return None
    draft = ForeignDraft()
    _written(read_parameters(text), draft)
    title = path.stem if path else ""
    problems = tuple(replace(one, file=str(path) if path else "") for one in draft.problems)
    return replace(draft.graph(title, NOTES), path=path, faults=problems, foreign=True)


def _written(given: Parameters, draft: ForeignDraft) -> None:
    settings = given.settings
    loaded = draft.add("checkpoint", "LoadCheckpoint", {"source": _file(settings.get("Model", "model"))})
    model, text_encoder = _with_loras(given, loaded.output("model"), loaded.output("text_encoder"), draft)
    layer = _whole(settings.get("Clip skip", "1"), 1)
    texts = {"text_encoder": text_encoder, "clip_layer": layer if layer > 1 else None}
    positive, share = _prompt("positive", given.prompt, texts, draft)
    against, _ = _prompt("negative", given.negative, texts, draft)
    width, height = (_whole(part, 512) for part in (*settings.get("Size", "512x512").split("x"), "512")[:2])
    latent = draft.add("latent", "EmptyLatent", {"width": width, "height": height})
    # The guidance of several prompts is added there, each by its weight, and here that of their mean counts.
    scale = _real(settings.get("CFG scale", "7"), 7.0) * share
    guided = {"model": model, "positive": positive, "negative": against, "scale": scale}
    guide = draft.add("guide", "CFGGuide", guided)
    sampler, schedule = _sampling(settings, draft)
    steps = _whole(settings.get("Steps", "20"), 20)
    spaced = {"model": model, "steps": steps, "schedule": schedule}
    sigmas = draft.add("sigmas", "MakeComfySigmas", spaced)
    run = {"guide": guide, "latent": latent, "sigmas": sigmas, "sampler": sampler}
    run["seed"] = _whole(settings.get("Seed", "0"), 0)
    sampled = draft.add("sampler", "KSampler", run)
    vae = loaded.output("vae")
    if settings.get("VAE", "").lower() not in OFF | {"automatic"}:
        vae = draft.add("vae", "LoadVAE", {"model": loaded.output("model"), "source": _file(settings["VAE"])}).link
    read = frozenset[str]()
    if any(not _is_off(settings.get(name, "")) for name in SECOND_SIZE):
        read = READ
        first = FirstPass(Size(width, height), sampled, vae)
        sampled = _second_pass(settings, first, {**texts, **spaced, **guided, **run, "share": share}, draft)
    decoded = draft.add("decode", "VAEDecode", {"vae": vae, "latent": sampled})
    draft.add("save", "SaveImage", {"image": decoded, "name": "image"})
    for name, target in PARAMETERS:
        node = target.partition(".")[0]
        # A prompt of several parts is no single text.
        if node in draft.nodes and f"{node}_2" not in draft.nodes:
            draft.parameter(name, target, "")
    for name in settings:
        if name not in read and name.startswith(UNREAD) and not _is_off(settings[name]):
            draft.problems.append(_unread(f"the setting `{name}` is not mapped, and changes the picture"))


def _second_pass(settings: Mapping[str, str], first: FirstPass, given: Mapping[str, Any], draft: ForeignDraft) -> Made:
    """What is sampled in the second pass; what the first one sampled, with a problem, where it is not mapped.

    Args:
        given: the inputs of the nodes of the first pass.
    """
    size = second_size(settings, first.size)
    larger = enlarged(settings, first, size, draft) if size else "it cuts the picture, or has no size"
    if isinstance(larger, str):
        draft.problems.append(_unread(f"the second pass (hires. fix) is not mapped: {larger}"))
        return first.sampled
    share = painted_share(settings)
    if not share:
        return larger
    sampler, schedule = given["sampler"], given["schedule"]
    named = {"Sampler": settings.get("Hires sampler"), "Schedule type": settings.get("Hires schedule type")}
    if changed := {name: one for name, one in named.items() if one and not _is_off(one)}:
        sampler, schedule = _sampling({**settings, **changed}, draft)
    steps = _whole(settings.get("Hires steps", "0"), 0) or given["steps"]
    spaced = {"model": given["model"], "steps": steps, "schedule": schedule, "denoise": share}
    sigmas = draft.add("sigmas_larger", "MakeComfySigmas", spaced)
    run = {"guide": _second_guide(settings, given, draft), "latent": larger, "sigmas": sigmas, "sampler": sampler}
    return draft.add("sampler_larger", "KSampler", {**run, "seed": given["seed"]})


def _second_guide(settings: Mapping[str, str], given: Mapping[str, Any], draft: ForeignDraft) -> Any:
    """The guidance of the second pass: the first one's, unless it has texts or a scale of its own."""
    names = ("Hires prompt", "Hires negative prompt", "Hires CFG Scale")
    if not any(settings.get(name) for name in names):
        return given["guide"]
    for name in names[:2]:
        if "<lora:" in settings.get(name, ""):
            draft.problems.append(_unread(f"LoRAs of `{name}` are not mapped, and change the picture"))
    texts = {name: given[name] for name in ("text_encoder", "clip_layer")}
    positive, against, share = given["positive"], given["negative"], given["share"]
    if text := settings.get(names[0]):
        positive, share = _prompt("positive_larger", without_loras(text), texts, draft)
    if text := settings.get(names[1]):
        against, _ = _prompt("negative_larger", without_loras(text), texts, draft)
    scale = _real(settings.get(names[2], ""), given["scale"] / given["share"]) * share
    guided = {"model": given["model"], "positive": positive, "negative": against, "scale": scale}
    return draft.add("guide_larger", "CFGGuide", guided)


def _prompt(id: str, text: str, texts: Mapping[str, Any], draft: ForeignDraft) -> tuple[Link, float]:
    """A prompt, and the sum of the weights of those that `AND` puts side by side."""
    made: list[Link] = []
    prompts = prompts_in(text, several=id.startswith("positive"))
    for one in prompts:
        parts = [draft.add(id, "TextEncode", {**texts, "text": text}).link for text in one.texts]
        whole = draft.add(f"{id}_joined", "ConcatPrompts", {"prompts": parts}).link if len(parts) > 1 else parts[0]
        for change in one.changes:
            message = f"the prompt changes on the way, which is not mapped: {shown(change)}"
            draft.problems.append(_unread(message))
        if len(prompts) > 1 and one.weight != 1:
            everywhere = {"prompt": whole, "width": 1.0, "height": 1.0, "strength": one.weight}
            whole = draft.add(f"{id}_weighted", "PromptArea", everywhere).link
        made.append(whole)
    if len(made) == 1:
        return made[0], 1.0
    weights = [one.weight for one in prompts]
    if min(weights) < 0 or not sum(weights):
        draft.problems.append(
            _unread("a prompt after AND has a weight below 0, and prompts are weighed from 0 on here")
        )
    return draft.add(f"{id}_combined", "CombinePrompts", {"prompts": made}).link, sum(weights)


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


def _is_off(value: str) -> bool:
    """Whether a setting changes nothing; `Use same sampler` and the like are of a second pass."""
    return value.lower() in OFF or value.lower().startswith("use same")


def _file(model: str) -> str:
    return model if "." in model.rpartition("/")[2][-12:] or ":" in model else f"{model}.safetensors"


def _whole(text: str, default: int) -> int:
    return int(text) if re.fullmatch(r"\d{1,19}", text.strip()) else default


def _real(text: str, default: float) -> float:
    return float(text) if re.fullmatch(r"\d{1,9}(\.\d{0,9})?", text.strip()) else default
