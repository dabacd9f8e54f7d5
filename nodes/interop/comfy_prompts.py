"""ComfyUI's prompts: text encoders, sets of conditioning, guidance of distilled models, ControlNets."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from weft.engine.graph.graph import Link
from weft.nodes.interop.entries import ControlPart, PromptPart, TextPart, UnmappableError
from weft.nodes.interop.writing import Made, MappedNode, maps, with_link

EMBEDDING = re.compile(r"embedding:([^\s,():]+)")
"""A textual inversion in a prompt."""

MAX_EMBEDDINGS = 100
"""Embeddings that a prompt names."""

LANGUAGE_MODELS = frozenset({"qwen_image", "lumina2", "flux2"})
"""What the text encoders are for that read prompts without weights."""

LENGTHS = {"wan": 512}
"""Tokens that prompts are padded to, by what the text encoders are for, where diffusers has others (Wan's own code)."""


def encoded(one: MappedNode, name: str, suffix: str = "", **others: str) -> Made:
    """A prompt with ComfyUI's weights, and with the embeddings that it names.

    Args:
        name: of the input that has it.
        others: the inputs that have the texts of further text models; those that equal the first are left out.
    """
    part, given = one.text_part(), one(name)
    text = given
    if isinstance(text, str):
        part, text = _with_embeddings(one, part, text)
    further = {model: one.words(other, one(other)) for model, other in others.items() if one(other) != given}
    weighted = part.kind not in LANGUAGE_MODELS
    if not weighted:
        one.assume("prompts of language models: round brackets are read as they stand, not as weights")
    return one.add(
        "TextEncode",
        suffix,
        text_encoder=part.link,
        text=one.words(name, text),
        weights=None if weighted else False,
        weighting="empty_prompt" if weighted else None,
        clip_layer=part.layer or None,
        max_sequence_length=LENGTHS.get(part.kind),
        **further,
    )


def _with_embeddings(one: MappedNode, part: TextPart, text: str) -> tuple[TextPart, str]:
    """The text encoders with the embeddings that a prompt names, and the prompt with the words that stand for them."""
    names = dict.fromkeys(EMBEDDING.findall(text))
    if len(names) > MAX_EMBEDDINGS:
        raise UnmappableError(f"its text names {len(names):,} embeddings, more than {MAX_EMBEDDINGS}")
    for name in names:
        file = name.replace("\\", "/")
        word = file.rpartition("/")[2].removesuffix(".safetensors").removesuffix(".pt")
        source = file if file.endswith(".safetensors") else f"{file.removesuffix('.pt')}.safetensors"
        made = one.add("LoadEmbedding", "embedding", text_encoder=part.link, source=source, token=word)
        part, text = with_link(part, made), text.replace(f"embedding:{name}", word)
    return part, text


def name_prompt(one: MappedNode, made: Made) -> None:
    """Let a parameter set the text of a prompt."""
    given = one.draft.nodes[made.id].inputs.get("text")
    if isinstance(given, Link) and one.draft.nodes[given.node].type == "ChooseWords":
        made = Made(given.node)
    if one.role == "negative":
        one.parameter("negative_prompt", made, "text", "what it is not to show")
    else:
        one.parameter("prompt", made, "text", "what the picture is to show")


@maps("CLIPTextEncode")
def _text(one: MappedNode) -> tuple[Any, ...]:
    made = encoded(one, "text")
    name_prompt(one, made)
    return (PromptPart(made.link, kind=one.text_part().kind),)


@maps("CLIPTextEncodeFlux")
def _flux(one: MappedNode) -> tuple[Any, ...]:
    made = encoded(one, "clip_l", text_2="t5xxl")
    name_prompt(one, made)
    return (PromptPart(made.link, one("guidance"), "flux"),)


@maps("CLIPTextEncodeSD3")
def _sd3(one: MappedNode) -> tuple[Any, ...]:
    """T5's padding is that of an empty prompt, or none of it where that is asked for and the text is empty."""
    if one.literal("empty_padding", "none") == "none" and not (one("clip_l") and one("clip_g") and one("t5xxl")):
        raise UnmappableError("an empty text without padding (`empty_padding` is `none`) has no counterpart here")
    made = encoded(one, "clip_l", text_2="clip_g", text_3="t5xxl")
    name_prompt(one, made)
    return (PromptPart(made.link, kind="sd3"),)


@maps("CLIPTextEncodeSDXL")
def _sdxl(one: MappedNode) -> tuple[Any, ...]:
    made = encoded(one, "text_l", text_2="text_g")
    name_prompt(one, made)
    target = one.literal("target_width"), one.literal("target_height")
    width, height = one("width"), one("height")
    left, top = one("crop_w", 0), one("crop_h", 0)
    if (width, height, left, top) == (*target, 0, 0):
        return (PromptPart(made.link),)
    framed = one.add("Framing", "framing", prompt=made, width=width, height=height, left=left or None, top=top or None)
    return (PromptPart(framed.link),)


@maps("CLIPSetLastLayer")
def _last_layer(one: MappedNode) -> tuple[Any, ...]:
    return (replace(one.text_part(), layer=-int(one.literal("stop_at_clip_layer"))),)


@maps("FluxGuidance")
def _guidance(one: MappedNode) -> tuple[Any, ...]:
    return (replace(one.prompt("conditioning"), guidance=one("guidance")),)


@maps("ConditioningCombine")
def _combined(one: MappedNode) -> tuple[Any, ...]:
    first, second = one.prompt("conditioning_1"), one.prompt("conditioning_2")
    return (with_link(first, one.add("CombinePrompts", prompts=[first.link, second.link])),)


@maps("ConditioningConcat")
def _joined(one: MappedNode) -> tuple[Any, ...]:
    first, second = one.prompt("conditioning_to"), one.prompt("conditioning_from")
    return (with_link(first, one.add("ConcatPrompts", prompts=[first.link, second.link])),)


@maps("ConditioningAverage")
def _averaged(one: MappedNode) -> tuple[Any, ...]:
    first, second = one.prompt("conditioning_to"), one.prompt("conditioning_from")
    weight = round(1 - float(one.literal("conditioning_to_strength")), 6)
    return (with_link(first, one.add("AveragePrompts", first=first.link, second=second.link, weight=weight)),)


@maps("ConditioningSetTimestepRange")
def _ranged(one: MappedNode) -> tuple[Any, ...]:
    part = one.prompt("conditioning")
    start, end = float(one.literal("start")), float(one.literal("end"))
    return (with_link(part, one.add("PromptSteps", prompt=part.link, start=start, end=end)),)


@maps("ConditioningSetArea")
def _windowed(one: MappedNode) -> tuple[Any, ...]:
    """The model sees the area alone."""
    part = one.prompt("conditioning")
    one.assume(
        "ConditioningSetArea: the model sees the area alone, whose weight rises over 8 elements from inner edges"
    )
    sides = {"width": one("width"), "height": one("height"), "left": one("x") or None, "top": one("y") or None}
    made = one.add("PromptWindow", prompt=part.link, **sides, strength=_float(one("strength")))
    return (with_link(part, made),)


@maps("ConditioningSetAreaPercentage")
def _windowed_by_share(one: MappedNode) -> tuple[Any, ...]:
    """The same area as a share of the picture, rounded to elements of its latents."""
    part = one.prompt("conditioning")
    one.assume(
        "ConditioningSetAreaPercentage: as ConditioningSetArea, each side rounded to elements of latents, one at least"
    )
    sides = {name: float(one.literal(own)) for name, own in SHARES.items()}
    kept = {name: side for name, side in sides.items() if side or name in ("width", "height")}
    made = one.add("PromptWindowShare", prompt=part.link, **kept, strength=_float(one("strength")))
    return (with_link(part, made),)


SHARES = {"width": "width", "height": "height", "left": "x", "top": "y"}


@maps("ConditioningSetMask")
def _masked(one: MappedNode) -> tuple[Any, ...]:
    part = one.prompt("conditioning")
    if one.literal("set_cond_area", "default") != "default":
        raise UnmappableError("`set_cond_area` is `mask bounds`: here the denoiser always sees the whole picture")
    made = one.add("PromptMask", prompt=part.link, mask=one.link("mask"), strength=float(one.literal("strength")))
    return (with_link(part, made),)


@maps("ConditioningZeroOut")
def _zeroed(one: MappedNode) -> tuple[Any, ...]:
    part = one.prompt("conditioning")
    return (with_link(part, one.add("ZeroPrompt", prompt=part.link)),)


@maps("ControlNetApplyAdvanced", "ControlNetApplySD3")
def _controlled(one: MappedNode) -> tuple[Any, ...]:
    positive, negative, net = one.prompt("positive"), one.prompt("negative"), one("control_net")
    made = one.add(
        "ApplyControlNet",
        kind=net.kind if isinstance(net, ControlPart) else None,
        positive=positive.link,
        negative=negative.link,
        control_net=one.link("control_net"),
        image=one.link("image"),
        vae=one.link("vae") if one.has("vae") else None,
        strength=_float(one("strength")),
        start=_float(one("start_percent")),
        end=_float(one("end_percent")),
    )
    return with_link(positive, made.output("positive")), with_link(negative, made.output("negative"))


@maps("StyleModelApply")
def _style(one: MappedNode) -> tuple[Any, ...]:
    part = one.prompt("conditioning")
    if one.literal("strength_type", "multiply") != "multiply":
        raise UnmappableError("`strength_type` is `attn_bias`, which has no counterpart here")
    made = one.add(
        "ApplyRedux",
        prompt=part.link,
        redux=one.link("style_model"),
        embedding=one.link("clip_vision_output"),
        strength=_float(one("strength")),
    )
    return (with_link(part, made),)


def is_siglip(file: str) -> bool:
    """Whether the file of an image encoder is named after SigLIP."""
    return "siglip" in file.lower() or "sigclip" in file.lower()


@maps("CLIPVisionEncode")
def _seen(one: MappedNode) -> tuple[Any, ...]:
    """Here CLIP sees the middle of a picture, and SigLIP all of it, each side scaled by itself; there it is chosen."""
    encoder, image = one.link("clip_vision"), one.link("image")
    file = str(one.draft.nodes[encoder.node].inputs.get("source", "")).lower()
    wide, middle = is_siglip(file), one.literal("crop", "center") == "center"
    if wide is middle:
        side = 384 if wide else 336 if "336" in file else 224
        one.assume(f"CLIPVisionEncode: the image encoder sees {side} x {side} pixels")
        size = {"width": side, "height": side, "fit": "fill" if middle else "stretch", "filter": "bicubic"}
        image = one.add("ScaleImage", "square", image=image, **size).link
    return (one.add("EncodeImage", image_encoder=encoder, image=image).link,)


def _float(given: Any) -> Any:
    return float(given) if isinstance(given, int) and not isinstance(given, Link | bool) else given
