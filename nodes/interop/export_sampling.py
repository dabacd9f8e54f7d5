"""Sampling as ComfyUI's nodes: guides, noise levels and runs of samplers. One KSampler there is three nodes here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weft.engine.graph.graph import Link, Node
from weft.nodes.interop.entries import UnmappableError
from weft.nodes.interop.export_entries import (
    EXPORTS,
    SAMPLER_NAMES,
    TEXT_SOURCES,
    ExportedNode,
    Output,
    Outputs,
    exports,
    text_kind,
)
from weft.nodes.interop.export_guides import (
    ALONE,
    AROUND,
    GuidedPrompts,
    check_noise,
    differential,
    empty_prompt,
    guide_chain,
)


def sampler_parts(nodes: Mapping[str, Node], used: Mapping[str, set[str]]) -> Iterator[str]:
    """The guides and noise levels that their only sampler writes: those that one node there stands for."""
    for id, node in nodes.items():
        parts = merged_parts(id, node, nodes) if node.type == "KSampler" else None
        if parts:
            guides, sigmas = parts
            users = zip((*guides, sigmas), (id, *guides[:-1], id), strict=True)
            if all(used[part] == {user} for part, user in users):
                yield from (*guides, sigmas)


def merged_parts(id: str, node: Node, nodes: Mapping[str, Node]) -> tuple[tuple[str, ...], str] | None:
    """The guides and the noise levels of a sampler that has the ids of one node there; None where it has not.

    The last guide is a CFGGuide, and those before it are around it.
    """
    guide, sigmas = node.inputs.get("guide"), node.inputs.get("sigmas")
    if not (isinstance(guide, Link) and isinstance(sigmas, Link) and {guide.node, sigmas.node} <= nodes.keys()):
        return None
    guides = guide_chain(guide.node, nodes)
    usual = re.fullmatch(r"k_sampler(_\d+)?", id)
    wanted = [part if usual else rf"{re.escape(id)}_{part}" for part in ("guide", "sigmas")]
    named = [re.fullmatch(rf"{wanted[0]}(_\d+)?", one) for one in guides]
    if not (all(named) and re.fullmatch(rf"{wanted[1]}(_\d+)?", sigmas.node)):
        return None
    types = [nodes[guides[-1]].type, nodes[sigmas.node].type]
    if types != ["CFGGuide", "MakeComfySigmas"] or any(nodes[one].type in ALONE for one in guides):
        return None
    same = nodes[guides[-1]].inputs.get("model") == nodes[sigmas.node].inputs.get("model")
    return (guides, sigmas.node) if same else None


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
            names = [str(inputs[name]) for name in TEXT_SOURCES if isinstance(inputs.get(name), str)]
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


def _guided(one: ExportedNode, model: Output, around: Sequence[ExportedNode] = ()) -> GuidedPrompts:
    """What a CFGGuide gives a sampler, with the nodes that say what ComfyUI's guiders have not.

    Args:
        around: the guides around it, the outermost first.
    """
    dense = next((guide for guide in around if guide.node.type == "DensePredictionGuide"), None)
    positive = empty_prompt(one, dense) if dense else one("positive")
    negative, scale, true_scale = one("negative"), one("scale"), one("true_scale")
    if one.literal("normalise") and negative is not None and _kind(one) == "qwen_image":
        model = [one.draft.add("CFGNorm", {"model": model, "strength": 1.0}), 0]
    if rescale := one.literal("rescale"):
        model = [one.draft.add("RescaleCFG", {"model": model, "multiplier": rescale}), 0]
    reads = true_scale not in (None, 1) or _is_flux(one) or (negative is None and scale != 1)
    if reads:
        positive = [one.draft.add("FluxGuidance", {"conditioning": positive, "guidance": scale}), 0]
        scale = 1.0 if true_scale is None else true_scale
    found = GuidedPrompts(model, positive, negative, scale)
    for guide in reversed(around):
        found = AROUND[guide.node.type](guide, found, one)
        guide.read.add("guide")
        if left := guide.unread():
            raise UnmappableError(f"`{left[0]}` of {guide.node.type} cannot be written there")
    return found


@exports("CFGGuide")
def _guide(one: ExportedNode) -> Outputs:
    return _guider(one, ())


def _guider(one: ExportedNode, around: Sequence[ExportedNode]) -> Outputs:
    """A guider of the nodes that a CFGGuide and those around it are."""
    found = _guided(one, one("model"), around)
    if found.middle is not None:
        prompts = {"cond1": found.positive, "cond2": found.middle, "negative": found.negative or found.positive}
        scales = {"cfg_conds": found.scale, "cfg_cond2_negative": found.middle_scale, "style": "regular"}
        id = one.add("DualCFGGuider", {"model": found.model, **prompts, **scales}, suffix="guide")
    elif found.negative is None:
        id = one.add("BasicGuider", {"model": found.model, "conditioning": found.positive}, suffix="guide")
    else:
        inputs = {"model": found.model, "positive": found.positive, "negative": found.negative, "cfg": found.scale}
        id = one.add("CFGGuider", inputs, suffix="guide")
    return {"": [id, 0]}


def _around(one: ExportedNode) -> Outputs:
    """The outermost of the guides around a CFGGuide, which writes them all as one guider."""
    around = [one, *(one.other(id) for id in guide_chain(one.id, one.draft.nodes)[1:])]
    *around, plain = around
    if plain.node.type != "CFGGuide":
        raise UnmappableError("it is around a guide that has no counterpart there")
    found = _guider(plain, around)
    if left := plain.unread():
        raise UnmappableError(f"`{left[0]}` of CFGGuide cannot be written there")
    one.read |= {*one.node.inputs}
    return found


EXPORTS.update(dict.fromkeys(AROUND, _around))


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


@exports("MakeFlux2Sigmas")
def _levels_by_size(one: ExportedNode) -> Outputs:
    inputs = {name: one(name) for name in ("steps", "width", "height")}
    return {"": [one.add("Flux2Scheduler", inputs, suffix="sigmas"), 0]}


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
    check_noise(one)
    parts = merged_parts(one.id, one.node, one.draft.nodes)
    if parts and all(part not in one.draft.outputs for part in (*parts[0], parts[1])):
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


def _classic(one: ExportedNode, guides: Sequence[str], sigmas_id: str, seed: Any, sampler: str) -> str:
    """A KSampler of ComfyUI's, or a KSamplerAdvanced, with the guides and the levels of this one."""
    *around, guide = (one.other(id) for id in guides)
    levels = one.other(sigmas_id)
    model = differential(one, _shifted(levels, levels("model"), _is_flux(guide)))
    found = _guided(guide, model, around)
    guide("model")
    steps, denoise = levels("steps"), levels.literal("denoise")
    given = {"model": found.model, "positive": found.positive, "latent_image": one("latent"), "steps": steps}
    # Without guidance the second prompt is not read.
    given |= {"negative": found.negative or found.positive, "cfg": found.scale if found.negative else 1.0}
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
