"""ComfyUI's prompts that have pictures which a model reads: masks and pictures as channels, pictures to refer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from weft.nodes.interop.entries import PromptPart, UnmappableError
from weft.nodes.interop.writing import MappedNode, maps, with_link


@maps("InpaintModelConditioning")
def _inpainting(one: MappedNode) -> tuple[Any, ...]:
    """Its guide has the masked picture; its latents are those of the whole one, with the mask where it is asked for."""
    vae, image, mask = one.link("vae"), one.link("pixels"), one.link("mask")
    both = (one.prompt(name).guided("InpaintGuide", vae=vae, image=image, mask=mask) for name in PROMPTS)
    latent = one.add("VAEEncode", "latent", vae=vae, image=image)
    if one.literal("noise_mask", True):
        latent = one.soft_mask("mask", latent=latent, mask=mask)
    return (*both, latent.link)


PROMPTS = ("positive", "negative")


@maps("InstructPixToPixConditioning")
def _followed(one: MappedNode) -> tuple[Any, ...]:
    """Its latents are empty ones of the picture's size."""
    vae, image = one.link("vae"), one.link("pixels")
    if one.prompt("positive").kind != "flux":
        raise UnmappableError("it is mapped for FLUX.1, whose models for edges and depth read a picture")
    both = (one.prompt(name).guided("ControlGuide", vae=vae, image=image) for name in PROMPTS)
    size = one.add("ImageSize", "size", image=image)
    latent = one.add("EmptyLatent", "latent", width=size.output("width"), height=size.output("height"))
    return (*both, latent.link)


@maps("ReferenceLatent")
def _referring(one: MappedNode) -> tuple[Any, ...]:
    part = one.prompt("conditioning")
    return (part.guided("ReferenceLatentGuide", latent=one.link("latent")) if one.has("latent") else part,)


@maps("FluxKontextMultiReferenceLatentMethod")
def _places_of_references(one: MappedNode) -> tuple[Any, ...]:
    """`index` numbers the pictures; some models read that they are clean too, or have them along a diagonal."""
    part, method = one.prompt("conditioning"), one.literal("reference_latents_method")
    if method not in METHODS:
        able = ", ".join(f"`{one}`" for one in METHODS)
        raise UnmappableError(f"`reference_latents_method` is `{method}`; mapped are {able}")
    guides = ((type, {**inputs, **(METHODS[method] if type in REFERENCES else {})}) for type, inputs in part.guides)
    return (replace(part, guides=tuple(guides)),)


REFERENCES = ("ReferenceGuide", "ReferenceLatentGuide")

METHODS: Mapping[str, Mapping[str, Any]] = {
    "index": {"places": "numbered"},
    "index_timestep_zero": {"clean": True},
    "uxo/uno": {"places": "diagonal"},
}
"""What the guides of pictures to refer to are given, by the name of a method."""


LOTUS_TEXTS = "jingheya/lotus-depth-d-v1-1/text_encoder/model.safetensors"
"""The text encoder of SD 2.x as the authors of Lotus publish it."""


@maps("LotusConditioning")
def _empty_prompt(one: MappedNode) -> tuple[Any, ...]:
    """The empty prompt, which ComfyUI has encoded once and for all; here its text encoder does so."""
    if one.model is None:
        raise UnmappableError("no model is loaded that it could belong to")
    made = one.add("LoadTextEncoder", "text_encoder", model=one.model.link, source=LOTUS_TEXTS)
    one.parameter("text_encoder", made, "source", "the text encoder of SD 2.x, of Lotus or of a model of SD 2.x")
    return (PromptPart(one.add("TextEncode", "empty_prompt", text_encoder=made, text="").link, kind="lotus"),)


@maps("unCLIPConditioning")
def _varied(one: MappedNode) -> tuple[Any, ...]:
    """The vectors of pictures in place of that of the words, which SDXL reads."""
    part = one.prompt("conditioning")
    if float(one.literal("noise_augmentation", 0.0)) != 0:
        raise UnmappableError("`noise_augmentation` is not 0; the vector of a picture gets no noise here")
    above = one.draft.nodes[part.link.node].type == "ApplyReVision"
    if above:
        one.assume(
            "unCLIPConditioning: the vectors of several pictures are added, each times its strength, without noise"
        )
    made = one.add(
        "ApplyReVision",
        prompt=part.link,
        embedding=one.link("clip_vision_output"),
        strength=float(one.literal("strength")),
        mode="add" if above else "replace",
    )
    return (with_link(part, made),)


@maps("ControlNetInpaintingAliMamaApply")
def _control_under_a_mask(one: MappedNode) -> tuple[Any, ...]:
    positive, negative = one.prompt("positive"), one.prompt("negative")
    made = one.add(
        "ApplyControlNet",
        positive=positive.link,
        negative=negative.link,
        control_net=one.link("control_net"),
        image=one.link("image"),
        vae=one.link("vae"),
        mask=one.link("mask"),
        strength=float(one.literal("strength")),
        start=float(one.literal("start_percent")),
        end=float(one.literal("end_percent")),
    )
    return with_link(positive, made.output("positive")), with_link(negative, made.output("negative"))
