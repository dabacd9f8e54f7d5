"""ComfyUI's samplers: KSampler and KSamplerAdvanced, and their parts: noise, guiders, samplers, noise levels."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from weft.engine.graph.graph import Link
from weft.nodes.interop.entries import (
    GuidePart,
    ModelPart,
    NoisePart,
    PromptPart,
    SamplerPart,
    UnmappableError,
)
from weft.nodes.interop.writing import Made, MappedNode, maps

SAMPLERS: Mapping[str, str] = {
    "euler": "euler",
    "euler_ancestral": "euler_ancestral",
    "heun": "heun",
    "dpm_2": "dpm2",
    "dpm_2_ancestral": "dpm2_ancestral",
    "lms": "lms",
    "dpm_fast": "dpm_fast",
    "dpmpp_2s_ancestral": "dpmpp_2s_ancestral",
    "dpmpp_sde": "dpmpp_sde",
    "dpmpp_sde_gpu": "dpmpp_sde",
    "dpmpp_2m": "dpmpp_2m",
    "dpmpp_2m_sde": "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu": "dpmpp_2m_sde",
    "dpmpp_3m_sde": "dpmpp_3m_sde_k",
    "dpmpp_3m_sde_gpu": "dpmpp_3m_sde_k",
    "lcm": "lcm",
    "res_multistep": "res_multistep",
    "ddim": "euler",
    "deis": "deis_tab",
    "uni_pc": "unipc_bh1",
    "uni_pc_bh2": "unipc_bh2",
}
"""Samplers in sigma form by ComfyUI's names; its `ddim` takes the steps of `euler`, which are DDIM's at eta 0."""


def sampler_named(name: Any) -> SamplerPart:
    """The sampler of a name.

    Raises:
        UnmappableError: where there is none.
    """
    from weft.nodes.sampling.sigma_samplers import SIGMA_SAMPLERS

    known = SAMPLERS.get(name) if isinstance(name, str) else None
    if known is None or known not in SIGMA_SAMPLERS:
        able = ", ".join(one for one, own in SAMPLERS.items() if own in SIGMA_SAMPLERS)
        raise UnmappableError(f"there is no sampler `{name}` over noise levels; there are: {able}")
    return SamplerPart(known)


def guide_of(one: MappedNode, model: ModelPart, positive: PromptPart, negative: PromptPart | None, scale: Any) -> Made:
    """A guide of classifier-free guidance; a model that reads a scale gets that one, and this one in addition."""
    guidance = positive.guidance
    if guidance is None and positive.kind == "flux" and not any("schnell" in name.lower() for name in model.names):
        guidance = 3.5
    if guidance is None and positive.kind == "flux2" and not any("klein" in name.lower() for name in model.names):
        raise UnmappableError("its prompt says no scale that FLUX.2 reads; put FluxGuidance after it")
    scale = 1.0 if scale is None else _float(scale)
    negative = negative if scale != 1.0 else None
    if negative and [type for type, _ in negative.guides] != [type for type, _ in positive.guides]:
        raise UnmappableError("one of its prompts has pictures that the model reads, and the other one has not")
    if model.normalised and positive.kind != "qwen_image":
        raise UnmappableError("CFGNorm is mapped for Qwen-Image, whose guidance is normalised")
    _check_references(positive)
    reads = guidance is not None
    with_prompt, without = _controlled(one, model, positive.link, negative.link if negative else None)
    made = one.add(
        "CFGGuide",
        "guide",
        model=model.link,
        positive=with_prompt,
        negative=without,
        scale=_float(guidance) if reads else scale,
        rescale=model.rescale or None,
        true_scale=scale if reads and scale != 1.0 else None,
        normalise=False if positive.kind == "qwen_image" and negative and not model.normalised else None,
    )
    if scale != 1.0:
        one.parameter("cfg", made, "true_scale" if reads else "scale", "how strongly the prompt guides")
    for type, inputs in (*positive.guides, *model.guides):
        made = one.add(type, "guide", guide=made, **inputs)
    return made


def _check_references(prompt: PromptPart) -> None:
    """Several pictures to refer to lie side by side in FLUX.1 unless the graph says otherwise; here they do not."""
    found = [inputs for type, inputs in prompt.guides if type == "ReferenceLatentGuide"]
    if prompt.kind == "flux" and len(found) > 1 and not all("places" in inputs for inputs in found):
        raise UnmappableError(
            "several pictures to refer to are mapped where FluxKontextMultiReferenceLatentMethod says `index` or "
            "`uxo/uno`"
        )


def _controlled(one: MappedNode, model: ModelPart, positive: Link, negative: Link | None) -> tuple[Link, Link | None]:
    """Both prompts with the control networks that the graph puts into the model."""
    for inputs in model.controls:
        made = one.add("ApplyControlNet", "control", positive=positive, negative=negative or positive, **inputs)
        positive, negative = made.output("positive"), made.output("negative") if negative else None
    return positive, negative


USUAL_SHIFT = 8.0
"""Of Wan where a graph says none."""


def _shift(one: MappedNode, model: ModelPart) -> float | None:
    """The shift of a model, also where the graph says none and ComfyUI has another one than diffusers."""
    if model.shift is None and any(re.match(r"wan\d", name.rpartition("/")[2].lower()) for name in model.names):
        one.assume(f"Wan: a shift of {USUAL_SHIFT:g} where the graph has none")
        return USUAL_SHIFT
    return model.shift


def _sigmas(one: MappedNode, model: ModelPart, **inputs: Any) -> Made:
    """The noise levels of the schedule that a node names."""
    return sigmas_of_schedule(one, model, one.literal("scheduler"), **inputs)


def sigmas_of_schedule(one: MappedNode, model: ModelPart, schedule: str, **inputs: Any) -> Made:
    """The noise levels of a schedule."""
    made = one.add(
        "MakeComfySigmas",
        "sigmas",
        model=model.link,
        steps=one("steps"),
        schedule=schedule,
        shift=_shift(one, model),
        **inputs,
    )
    one.parameter("steps", made, "steps")
    return made


@maps("KSampler")
def _sampler(one: MappedNode) -> tuple[Any, ...]:
    model, denoise = one.model_part(), _float(one("denoise"))
    guide = guide_of(one, model, one.prompt("positive"), one.prompt("negative"), one("cfg"))
    sigmas = _sigmas(one, model, denoise=None if denoise == 1 else denoise)
    sampler, kind = sampler_named(one.literal("sampler_name")), one.prompt("positive").kind
    return (_run(one, guide, sigmas.link, sampler, one("seed"), model, kind=kind),)


@maps("KSamplerAdvanced")
def _part_of_a_run(one: MappedNode) -> tuple[Any, ...]:
    model = one.model_part()
    guide = guide_of(one, model, one.prompt("positive"), one.prompt("negative"), one("cfg"))
    start, end, steps = one("start_at_step"), one("end_at_step"), one("steps")
    stops = not (isinstance(end, int) and isinstance(steps, int) and end >= steps)
    leaves = one.literal("return_with_leftover_noise") == "enable"
    sigmas = _sigmas(
        one,
        model,
        start_step=start or None,
        end_step=end if stops else None,
        to_zero=True if stops and not leaves else None,
    )
    adds = one.literal("add_noise") == "enable"
    sampler = sampler_named(one.literal("sampler_name"))
    kind = one.prompt("positive").kind
    return (_run(one, guide, sigmas.link, sampler, one("noise_seed"), model, adds=adds, kind=kind),)


def _run(
    one: MappedNode,
    guide: Any,
    sigmas: Any,
    sampler: SamplerPart,
    seed: Any,
    model: ModelPart,
    *,
    adds: bool = True,
    kind: str = "",
) -> Link:
    """A run of a sampler, with the noise of the whole batch from one generator.

    Args:
        adds: whether noise is added to the latents.
        kind: of the positive prompt.
    """
    latent = one.link("latent_image")
    if kind == "lotus":
        if adds:
            raise UnmappableError("Lotus is mapped without noise (DisableNoise): it reads the picture itself")
        guide = one.add("DensePredictionGuide", "mapping", guide=guide, latent=latent)
    if model.differential:
        latent = _differential(one, latent)
    made = one.add(
        "KSampler",
        guide=guide,
        latent=latent,
        sigmas=sigmas,
        noise=_noise_of_layers(one, latent, seed, model) if adds else None,
        seed=seed,
        sampler=sampler.name,
        add_noise=None if adds else False,
        generator="batch",
        **sampler.options,
    )
    one.parameter("seed", made, "seed", "of the noise")
    return made.link


def _noise_of_layers(one: MappedNode, latent: Link, seed: Any, model: ModelPart) -> Made | None:
    """The noise of a picture's layers, which is drawn here layer by layer and there all together; else None."""
    if one.draft.nodes[latent.node].type != "EmptyLayeredLatent":
        return None
    given = {"model": model.link, "latent": latent, "seed": seed}
    made = one.add("DrawNoise", "noise", **given, generator="batch", by_frame=False)
    one.parameter("seed", made, "seed", "of the noise")
    return made


def _differential(one: MappedNode, latent: Link) -> Link:
    """Latents whose mask says in which steps a place is painted; those without a mask stay."""
    masked = one.draft.nodes[latent.node]
    if masked.type == "SetNoiseMask":
        return one.add("SetNoiseMask", "mask", **{**masked.inputs, "mode": "differential"}).link
    if any(node.type == "SetNoiseMask" for node in one.draft.nodes.values()):
        raise UnmappableError("its latents are changed after their mask was set, and DifferentialDiffusion reads it")
    return latent


@maps("SamplerCustomAdvanced")
def _custom(one: MappedNode) -> tuple[Any, ...]:
    guide, sampler, noise = one("guider"), one("sampler"), one("noise")
    if not (isinstance(guide, GuidePart) and isinstance(sampler, SamplerPart) and isinstance(noise, NoisePart)):
        raise UnmappableError("its noise, guider or sampler is given nothing that a node here makes")
    adds = noise.seed is not None
    link = _run(one, guide.link, one.link("sigmas"), sampler, noise.seed, guide.model, adds=adds, kind=guide.kind)
    return link, link


@maps("SamplerCustom")
def _custom_with_model(one: MappedNode) -> tuple[Any, ...]:
    model, sampler = one.model_part(), one("sampler")
    if not isinstance(sampler, SamplerPart):
        raise UnmappableError("its sampler is given nothing that a node here makes")
    guide = guide_of(one, model, one.prompt("positive"), one.prompt("negative"), one("cfg"))
    adds, kind = bool(one.literal("add_noise", True)), one.prompt("positive").kind
    link = _run(one, guide, one.link("sigmas"), sampler, one("noise_seed"), model, adds=adds, kind=kind)
    return link, link


@maps("BasicGuider")
def _plain_guide(one: MappedNode) -> tuple[Any, ...]:
    model, prompt = one.model_part(), one.prompt("conditioning")
    return (GuidePart(guide_of(one, model, prompt, None, None).link, model, prompt.kind),)


@maps("CFGGuider")
def _guide(one: MappedNode) -> tuple[Any, ...]:
    model, prompt = one.model_part(), one.prompt("positive")
    made = guide_of(one, model, prompt, one.prompt("negative"), one("cfg"))
    return (GuidePart(made.link, model, prompt.kind),)


@maps("DualCFGGuider")
def _dual_guide(one: MappedNode) -> tuple[Any, ...]:
    """From the negative prompt to `cond2` and on to `cond1`, each way with a scale (style `regular`).

    `nested` guides from the negative prompt to a prediction that is guided from `cond2` to `cond1`, so that its second
    way has the product of both scales.
    """
    model, middle = one.model_part(), one.prompt("cond2")
    scale, further = _float(one("cfg_cond2_negative")), _float(one("cfg_conds"))
    if one.literal("style", "regular") == "nested":
        scale, further = (float(one.literal(name)) for name in ("cfg_cond2_negative", "cfg_conds"))
        further = round(scale * further, 6)
        one.assume(
            "DualCFGGuider, nested: negative + cfg_cond2_negative (guided - negative), guided = cond2 + cfg_conds "
            "(cond1 - cond2)"
        )
    if further == 1:
        raise UnmappableError("its guidance to `cond1` is 1, at which guidance is off here; give it 1.01")
    guide = guide_of(one, model, one.prompt("cond1"), one.prompt("negative"), further)
    return (GuidePart(one.add("MiddlePromptGuide", "guide", guide=guide, prompt=middle.link, scale=scale).link, model),)


@maps("KSamplerSelect")
def _chosen(one: MappedNode) -> tuple[Any, ...]:
    return (sampler_named(one.literal("sampler_name")),)


@maps("SamplerLCM")
def _lcm(one: MappedNode) -> tuple[Any, ...]:
    return (SamplerPart("lcm"),)


@maps("RandomNoise")
def _noise(one: MappedNode) -> tuple[Any, ...]:
    return (NoisePart(one("noise_seed")),)


@maps("DisableNoise")
def _no_noise(one: MappedNode) -> tuple[Any, ...]:
    return (NoisePart(None),)


@maps("BasicScheduler")
def _schedule(one: MappedNode) -> tuple[Any, ...]:
    denoise = _float(one("denoise"))
    return (_sigmas(one, one.model_part(), denoise=None if denoise == 1 else denoise).link,)


@maps("SDTurboScheduler")
def _turbo(one: MappedNode) -> tuple[Any, ...]:
    """The levels of timesteps 999, 899, ...: those of `simple` over ten steps, of which the first ones are run."""
    steps, denoise = int(one.literal("steps")), float(one.literal("denoise"))
    first = 10 - int(10 * denoise)
    whole = first + steps >= 10
    part = one.model_part()
    made = one.add(
        "MakeComfySigmas",
        "sigmas",
        model=part.link,
        steps=10,
        schedule="simple",
        start_step=first or None,
        end_step=None if whole else first + steps,
        to_zero=None if whole else True,
    )
    return (made.link,)


@maps("SplitSigmas")
def _split(one: MappedNode) -> tuple[Any, ...]:
    made = one.add("SplitSigmas", sigmas=one.link("sigmas"), step=one("step"))
    return made.output("before"), made.output("after")


@maps("FlipSigmas")
def _flipped(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("FlipSigmas", sigmas=one.link("sigmas"), least=0.0001).link,)


@maps("SetFirstSigma")
def _begun_elsewhere(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("SetFirstSigma", "sigmas", sigmas=one.link("sigmas"), sigma=_float(one("sigma"))).link,)


@maps("ManualSigmas")
def _listed(one: MappedNode) -> tuple[Any, ...]:
    levels = [float(part) for part in re.findall(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?", str(one.literal("sigmas")))]
    if not all(map(math.isfinite, levels)):
        raise UnmappableError("its noise levels are no finite numbers")
    return (one.add("ListSigmas", levels=levels).link,)


def _float(given: Any) -> Any:
    return float(given) if isinstance(given, int) and not isinstance(given, bool) else given
