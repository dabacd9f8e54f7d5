"""ComfyUI's noise levels without a model, samplers with settings of their own, and more of its prompts and latents."""

from __future__ import annotations

import math
from typing import Any

from weft.nodes.interop.comfy_prompts import encoded, name_prompt
from weft.nodes.interop.comfy_sampling import sigmas_of_schedule
from weft.nodes.interop.entries import ControlPart, PromptPart, SamplerPart, UnmappableError
from weft.nodes.interop.writing import MappedNode, maps, with_link


@maps("KarrasScheduler")
def _karras(one: MappedNode) -> tuple[Any, ...]:
    """Karras et al. 2022, equation 5, between given ends."""
    steps, rho = int(one.literal("steps")), float(one.literal("rho"))
    first, last = (float(one.literal(name)) ** (1 / rho) for name in ("sigma_max", "sigma_min"))
    levels = [(first + share * (last - first)) ** rho for share in _shares(steps)]
    return (one.add("ListSigmas", "sigmas", levels=[*levels, 0.0]).link,)


@maps("ExponentialScheduler")
def _exponential(one: MappedNode) -> tuple[Any, ...]:
    """Evenly spaced in the logarithm, between given ends."""
    first, last = (math.log(float(one.literal(name))) for name in ("sigma_max", "sigma_min"))
    levels = [math.exp(first + share * (last - first)) for share in _shares(int(one.literal("steps")))]
    return (one.add("ListSigmas", "sigmas", levels=[*levels, 0.0]).link,)


def _shares(steps: int) -> list[float]:
    return [step / max(steps - 1, 1) for step in range(steps)]


@maps("SamplerEulerAncestral", "SamplerDPMPP_SDE", "SamplerDPMPP_2M_SDE")
def _with_noise(one: MappedNode) -> tuple[Any, ...]:
    """Samplers that draw noise in each step, with the settings that KSampler gives them too."""
    name = {"SamplerEulerAncestral": "euler_ancestral", "SamplerDPMPP_SDE": "dpmpp_sde"}.get(one.node.type)
    usual = {"eta": 1.0, "s_noise": 1.0, "r": 0.5, "solver_type": "midpoint"}
    for setting, value in usual.items():
        if one.has(setting) and one.literal(setting) != value:
            raise UnmappableError(f"`{setting}` is {one.literal(setting)}; mapped is {value}")
    return (SamplerPart(name or "dpmpp_2m_sde"),)


@maps("ControlNetApply")
def _controlled(one: MappedNode) -> tuple[Any, ...]:
    """The control network acts with one prompt alone."""
    part, net = one.prompt("conditioning"), one("control_net")
    made = one.add(
        "ApplyControlNet",
        positive=part.link,
        negative=part.link,
        control_net=one.link("control_net"),
        image=one.link("image"),
        strength=float(one.literal("strength")),
        kind=net.kind if isinstance(net, ControlPart) else None,
    )
    return (with_link(part, made.output("positive")),)


KINDS = {
    "auto": None,
    "openpose": "pose",
    "depth": "depth",
    "hed/pidi/scribble/ted": "soft_edge",
    "canny/lineart/anime_lineart/mlsd": "canny",
    "normal": "normal",
    "segment": "segmentation",
    "tile": "tile",
    "repaint": "repaint",
}
"""What pictures show, by ComfyUI's names for control networks of several kinds."""


@maps("SetUnionControlNetType")
def _kind(one: MappedNode) -> tuple[Any, ...]:
    name = one.literal("type")
    if name not in KINDS:
        raise UnmappableError(f"`type` is `{name}`, which is no kind of picture here")
    return (ControlPart(one.link("control_net"), KINDS[name]),)


@maps("CLIPTextEncodeSDXLRefiner")
def _refiner(one: MappedNode) -> tuple[Any, ...]:
    """The score of the picture is that of the family: 6 for the prompt, 2.5 against the negative one."""
    score = float(one.literal("ascore"))
    if score != (2.5 if one.role == "negative" else 6.0):
        raise UnmappableError(f"`ascore` is {score:g}; here it is 6 for the prompt and 2.5 for the negative one")
    made = encoded(one, "text")
    name_prompt(one, made)
    framed = one.add("Framing", "framing", prompt=made, width=one("width"), height=one("height"))
    return (PromptPart(framed.link),)


@maps("LatentBlend")
def _blended(one: MappedNode) -> tuple[Any, ...]:
    """`blend_factor` is the share of the first latents there, and of the second here."""
    if one.literal("blend_mode", "normal") != "normal":
        raise UnmappableError("latents are blended here as they are (`normal`)")
    amount = round(1 - float(one.literal("blend_factor")), 6)
    first, second = one.link("samples1"), one.link("samples2")
    return (one.add("BlendLatents", first=first, second=second, amount=amount, method="linear").link,)


@maps("VAEEncodeForInpaint")
def _encoded_for_inpainting(one: MappedNode) -> tuple[Any, ...]:
    """The picture is grey under the mask, and painted under the mask when it has grown by half of `grow_mask_by`."""
    image, mask = one.link("pixels"), one.link("mask")
    marked = one.add("SetLevels", "marked", image=mask, black=0.4999, white=0.5)
    grey = one.add("SetLevels", "grey", image=image, low=0.5, high=0.5)
    hidden = one.add("CompositeImages", "hidden", below=image, above=grey, mask=marked)
    latent = one.add("VAEEncode", "latent", vae=one.link("vae"), image=hidden)
    grown = one.add("GrowMask", "grown", mask=marked, pixels=int(one.literal("grow_mask_by")) // 2, shape="square")
    one.assume("VAEEncodeForInpaint: the mask grows by squares, by half of `grow_mask_by` on each side")
    return (one.soft_mask("mask", latent=latent, mask=grown).link,)


@maps("CropMask")
def _cropped(one: MappedNode) -> tuple[Any, ...]:
    sides = {"width": one("width"), "height": one("height"), "left": one("x"), "top": one("y")}
    return (one.add("CropImage", image=one.link("mask"), **sides).link,)


@maps("SolidMask")
def _solid(one: MappedNode) -> tuple[Any, ...]:
    value, box = float(one.literal("value")), {"left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0}
    made = one.add("ShapeMask", "solid_mask", width=one("width"), height=one("height"), **box)
    return (made.link if value == 1 else one.add("SetLevels", "grey", image=made, high=value).link,)


@maps("BetaSamplingScheduler")
def _by_beta(one: MappedNode) -> tuple[Any, ...]:
    """The schedule `beta`, whose distribution has 0.6 twice."""
    if (float(one.literal("alpha")), float(one.literal("beta"))) != (0.6, 0.6):
        raise UnmappableError("`alpha` and `beta` are mapped at 0.6, as the schedule `beta` has them")
    return (sigmas_of_schedule(one, one.model_part(), "beta").link,)
