"""ComfyUI's nodes for Qwen-Image: prompts with pictures to edit, guidance, control networks that change the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from weft.engine.graph.graph import Link
from weft.nodes.interop.comfy_prompts import encoded, name_prompt
from weft.nodes.interop.entries import PromptPart, UnmappableError
from weft.nodes.interop.writing import Made, MappedNode, maps

SEEN = 384**2 / 2**20
"""Megapixels of a picture that the language model sees, from version 2509 on."""

SIDES = 16
"""Pixels that sides of a picture to edit are multiples of: a token of the transformer."""


@maps("TextEncodeQwenImageEdit")
def _edited(one: MappedNode) -> tuple[Any, ...]:
    """The language model and the VAE see the same picture, of a megapixel."""
    if not one.has("image"):
        return (_without_pictures(one),)
    shown = _scaled(one, one.link("image"), 1.0)
    return (_with_pictures(one, [shown.link], [shown.link], numbered=False),)


@maps("TextEncodeQwenImageEditPlus")
def _edited_later(one: MappedNode) -> tuple[Any, ...]:
    """The language model sees small pictures, each with a number, and the VAE those of a megapixel."""
    pictures = [one.link(name) for name in ("image1", "image2", "image3") if one.has(name)]
    if not pictures:
        return (_without_pictures(one),)
    small = [_scaled(one, picture, SEEN).link for picture in pictures]
    large = [_scaled(one, picture, 1.0).link for picture in pictures] if one.has("vae") else []
    return (_with_pictures(one, small, large, numbered=True),)


def _without_pictures(one: MappedNode) -> PromptPart:
    made = encoded(one, "prompt")
    name_prompt(one, made)
    return PromptPart(made.link, kind=one.text_part().kind)


def _scaled(one: MappedNode, picture: Link, megapixels: float) -> Made:
    size = {"megapixels": megapixels, "filter": "box", "multiple": SIDES}
    return one.add("ScaleImageToPixels", "size", image=picture, **size)


def _with_pictures(one: MappedNode, seen: Sequence[Link], large: Sequence[Link], *, numbered: bool) -> PromptPart:
    """The prompt, with the latents of its pictures where it has a VAE."""
    made = one.add(
        "EncodeEditPrompt",
        text_encoder=one.text_part().link,
        text=one.words("prompt", one("prompt")),
        images=list(seen),
        numbered=None if numbered else False,
    )
    name_prompt(one, made)
    part = PromptPart(made.link, kind=one.text_part().kind)
    for picture in large if one.has("vae") else ():
        part = part.guided("ReferenceGuide", vae=one.link("vae"), image=picture)
    return part


@maps("CFGNorm")
def _normalised(one: MappedNode) -> tuple[Any, ...]:
    """Guidance of Qwen-Image is normalised here as its authors' pipelines do it, which needs no node."""
    if float(one.literal("strength", 1.0)) != 1:
        raise UnmappableError("`strength` is not 1; guidance of Qwen-Image is always normalised as a whole here")
    return (replace(one.model_part(), normalised=True),)


@maps("ModelPatchLoader")
def _control_in_the_model(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("LoadControlNet", source=one.file("name")).link,)


@maps("QwenImageDiffsynthControlnet", "ZImageFunControlnet")
def _controlled_model(one: MappedNode) -> tuple[Any, ...]:
    if one.has("mask"):
        raise UnmappableError("`mask` is linked, which has no counterpart here")
    model = one.model_part()
    given = {"control_net": one.link("model_patch"), "vae": one.link("vae"), "image": one.link("image")}
    control = {**given, "strength": float(one.literal("strength")), "start": 0.0, "end": 1.0}
    return (replace(model, controls=(*model.controls, control)),)


@maps("EmptyQwenImageLayeredLatentImage")
def _layered(one: MappedNode) -> tuple[Any, ...]:
    batch = one("batch_size")
    size = {"width": one("width"), "height": one("height"), "layers": one("layers")}
    made = one.add("EmptyLayeredLatent", **size, batch_size=None if batch == 1 else batch)
    one.parameter("layers", made, "layers", "that the picture is divided into")
    return (made.link,)


@maps("LatentCutToBatch")
def _split(one: MappedNode) -> tuple[Any, ...]:
    """The picture as a whole comes first there."""
    if one.literal("dim") != "t" or one.literal("slice_size") != 1:
        raise UnmappableError("it is mapped for frames (`dim` is `t`) one by one (`slice_size` 1)")
    return (one.add("SplitLayers", "layers", latent=one.link("samples"), whole=True).link,)
