"""Sampling as ComfyUI's nodes: guides, noise levels and runs of samplers. One KSampler there is three nodes here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from weft.engine.graph.graph import Link, Node
from weft.nodes.interop.entries import UnmappableError
from weft.nodes.interop.export_entries import SAMPLER_NAMES, ExportedNode, Output, Outputs, exports, text_kind


def sampler_parts(nodes: Mapping[str, Node], used: Mapping[str, set[str]]) -> Iterator[str]:
    """The guides and noise levels that their only sampler writes: those that one node there stands for."""
    for id, node in nodes.items():
        parts = merged_parts(id, node, nodes) if node.type == "KSampler" else None
        if parts and all(used[part] == {id} for part in parts):
            yield from parts


def merged_parts(id: str, node: Node, nodes: Mapping[str, Node]) -> tuple[str, str] | None:
    """The guide and the noise levels of a sampler that has the ids of one node there; None where it has not."""
    guide, sigmas = node.inputs.get("guide"), node.inputs.get("sigmas")
    if not (isinstance(guide, Link) and isinstance(sigmas, Link)):
        return None
    types = [nodes[link.node].type for link in (guide, sigmas) if link.node in nodes]
    usual = r"(_\d+)?" if re.fullmatch(r"k_sampler(_\d+)?", id) else None
    wanted = [rf"{part}{usual}" if usual else rf"{re.escape(id)}_{part}" for part in ("guide", "sigmas")]
    named = re.fullmatch(wanted[0], guide.node) and re.fullmatch(wanted[1], sigmas.node)
    if types != ["CFGGuide", "MakeComfySigmas"] or not named:
        return None
    same = nodes[guide.node].inputs.get("model") == nodes[sigmas.node].inputs.get("model")
    return (guide.node, sigmas.node) if same else None


def _is_flux(one: ExportedNode) -> bool:
    """Whether its prompts are of text encoders of FLUX.1, whose model reads a scale of guidance."""
    return _kind(one) == "flux" and "schnell" not in _model_name(one).lower()


def _kind(one: ExportedNode) -> str:
    """What ComfyUI calls the models that the text encoders of its prompts are for; empty where nothing says it."""
    nodes, seen = one.draft.nodes, set[str]()
    prompt = one.node.inputs.get("positive")
    stack = [prompt.node] if isinstance(prompt, Link) else []
    while stack:
        id = stack.pop()
        if id in seen or id not in nodes:
            continue
        seen.add(id)
        inputs = nodes[id].inputs
        if nodes[id].type == "LoadTextEncoder":
            names = [
                str(inputs[name]) for name in ("source", "source_2", "source_3") if isinstance(inputs.get(name), str)
            ]
            return text_kind(names)
        flat = (one for some in inputs.values() for one in (some if isinstance(some, tuple) else (some,)))
        stack += (link.node for link in flat if isinstance(link, Link))
    return ""


def _model_name(one: ExportedNode) -> str:
    found = one.behind("model")
    nodes = one.draft.nodes
    while found is not None and "source" not in found[1].inputs:
        given = found[1].inputs.get("model")
        found = (given.node, nodes[given.node]) if isinstance(given, Link) else None
    return str(found[1].inputs["source"]) if found else ""


def _guided(one: ExportedNode, model: Output) -> tuple[Output, Output, Output | None, Any]:
    """The model, the prompts and the scale of a CFGGuide, with the nodes that say what ComfyUI's guiders have not."""
    positive, negative = one("positive"), one("negative")
    scale, true_scale = one("scale"), one("true_scale")
    if one.literal("normalise") and negative is not None and _kind(one) == "qwen_image":
        model = [one.draft.add("CFGNorm", {"model": model, "strength": 1.0}), 0]
    if rescale := one.literal("rescale"):
        model = [one.draft.add("RescaleCFG", {"model": model, "multiplier": rescale}), 0]
    reads = true_scale not in (None, 1) or _is_flux(one) or (negative is None and scale != 1)
    if reads:
        positive = [one.draft.add("FluxGuidance", {"conditioning": positive, "guidance": scale}), 0]
        scale = 1.0 if true_scale is None else true_scale
    return model, positive, negative, scale


@exports("CFGGuide")
def _guide(one: ExportedNode) -> Outputs:
    model, positive, negative, scale = _guided(one, one("model"))
    if negative is None:
        id = one.add("BasicGuider", {"model": model, "conditioning": positive}, suffix="guide")
    else:
        inputs = {"model": model, "positive": positive, "negative": negative, "cfg": scale}
        id = one.add("CFGGuider", inputs, suffix="guide")
    return {"": [id, 0]}


def _shifted(one: ExportedNode, model: Output, flux: bool = False) -> Output:
    shift = one.literal("shift")
    if shift is None:
        return model
    if flux:
        size = {"max_shift": math.log(shift), "base_shift": math.log(shift), "width": 1024, "height": 1024}
        return [one.draft.add("ModelSamplingFlux", {"model": model, **size}), 0]
    return [one.draft.add("ModelSamplingSD3", {"model": model, "shift": shift}), 0]


@exports("MakeComfySigmas")
def _sigmas(one: ExportedNode) -> Outputs:
    inputs = {"model": _shifted(one, one("model")), "scheduler": one("schedule"), "steps": one("steps")}
    return {"": [one.add("BasicScheduler", {**inputs, "denoise": one("denoise")}, suffix="sigmas"), 0]}


@exports("ListSigmas")
def _listed(one: ExportedNode) -> Outputs:
    levels = ", ".join(map(repr, one.literal("levels")))
    return {"": [one.add("ManualSigmas", {"sigmas": levels}, "list_sigmas"), 0]}


@exports("KSampler")
def _run(one: ExportedNode) -> Outputs:
    if "sigmas" not in one.node.inputs:
        hint = "MakeComfySigmas makes ComfyUI's levels for `sigmas`"
        raise UnmappableError(f"its noise levels are spaced by `schedule`, whose formulas differ there; {hint}")
    seed, sampler = one("seed"), SAMPLER_NAMES.get(one.literal("sampler"))
    if sampler is None:
        raise UnmappableError(f"the sampler {one.literal('sampler')} is none of ComfyUI's")
    if isinstance(seed, list) and (not seed or not isinstance(seed[0], str)):
        raise UnmappableError("`seed` is a list, and there one seed draws the noise of a batch")
    if one.literal("generator") != "batch" and not _is_single(one):
        raise UnmappableError('`generator` is not "batch", and there one generator draws the noise of a batch')
    parts = merged_parts(one.id, one.node, one.draft.nodes)
    if parts and all(part not in one.draft.outputs for part in parts):
        one.read |= {"guide", "sigmas"}
        return {"": [_classic(one, *parts, seed, sampler), 0]}
    noise = {"noise_seed": seed} if one.literal("add_noise") else {}
    made = {
        "noise": [one.draft.add("RandomNoise" if noise else "DisableNoise", noise), 0],
        "guider": one("guide"),
        "sampler": [one.draft.add("KSamplerSelect", {"sampler_name": sampler}), 0],
        "sigmas": one("sigmas"),
        "latent_image": one("latent"),
    }
    return {"": [one.add("SamplerCustomAdvanced", made, "k_sampler"), 0]}


def _is_single(one: ExportedNode) -> bool:
    found = one.behind("latent")
    return found is not None and found[1].type == "EmptyLatent" and found[1].inputs.get("batch_size", 1) == 1


def _classic(one: ExportedNode, guide_id: str, sigmas_id: str, seed: Any, sampler: str) -> str:
    """A KSampler of ComfyUI's, or a KSamplerAdvanced, with the guide and the levels of this one."""
    guide, levels = one.other(guide_id), one.other(sigmas_id)
    model, positive, negative, scale = _guided(guide, _shifted(levels, levels("model"), _is_flux(guide)))
    guide("model")
    steps, denoise = levels("steps"), levels.literal("denoise")
    given = {"model": model, "positive": positive, "latent_image": one("latent"), "steps": steps}
    # Without guidance the second prompt is not read.
    given |= {"negative": negative or positive, "cfg": scale if negative else 1.0}
    given |= {"sampler_name": sampler, "scheduler": levels.literal("schedule")}
    start, end, to_zero = (levels(name) for name in ("start_step", "end_step", "to_zero"))
    adds = one.literal("add_noise")
    if left := [*guide.unread(), *levels.unread()]:
        raise UnmappableError(f"`{left[0]}` of its guide or noise levels cannot be written there")
    if adds and not start and end is None and not to_zero:
        return one.add("KSampler", {**given, "seed": seed, "denoise": denoise}, "k_sampler")
    if denoise != 1:
        raise UnmappableError("`denoise` and a part of the steps are not both to be written there")
    given |= {"noise_seed": seed, "add_noise": "enable" if adds else "disable", "start_at_step": start or 0}
    leaves = "enable" if end is not None and not to_zero else "disable"
    given |= {"end_at_step": 10_000 if end is None else end, "return_with_leftover_noise": leaves}
    return one.add("KSamplerAdvanced", given, "k_sampler")
