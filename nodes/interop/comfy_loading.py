"""ComfyUI's loaders of models and their parts, LoRAs, and what changes models."""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from weft.engine.graph.graph import Link
from weft.nodes.interop.entries import ModelPart, TextPart, UnmappableError
from weft.nodes.interop.writing import Made, MappedNode, maps, with_link


@maps("CheckpointLoaderSimple", "CheckpointLoader", "unCLIPCheckpointLoader")
def _checkpoint(one: MappedNode) -> tuple[Any, ...]:
    name = one.file("ckpt_name")
    made = one.add("LoadCheckpoint", source=name)
    one.parameter("checkpoint", made, "source", "the file of the checkpoint")
    model = ModelPart(made.output("model"), names=(name,))
    return model, TextPart(made.output("text_encoder")), made.output("vae")


@maps("UNETLoader")
def _denoiser(one: MappedNode) -> tuple[Any, ...]:
    name = one.file("unet_name")
    weights = "fp8" if str(one.literal("weight_dtype", "default")).startswith("fp8") else None
    made = one.add("LoadDiffusionModel", source=name, weights=weights)
    one.parameter("model", made, "source", "the file of the model")
    return (ModelPart(made.link, names=(name,)),)


def _model(one: MappedNode) -> ModelPart:
    if one.model is None:
        raise UnmappableError("no model is loaded that it could belong to")
    return one.model


@maps("VAELoader")
def _vae(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("LoadVAE", model=_model(one).link, source=one.file("vae_name")).link,)


@maps("CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader", "QuadrupleCLIPLoader")
def _text_encoders(one: MappedNode) -> tuple[Any, ...]:
    inputs = [name for name in one.node.inputs if re.fullmatch(r"clip_name\d?", name)]
    names = [one.file(name) for name in sorted(inputs)]
    sources = dict(zip(("source", "source_2", "source_3", "source_4"), names, strict=False))
    made = one.add("LoadTextEncoder", model=_model(one).link, **sources)
    unsaid = {"TripleCLIPLoader": "sd3", "QuadrupleCLIPLoader": "hidream"}
    kind = str(one("type") or unsaid.get(one.node.type, ""))
    return (TextPart(made.link, kind=kind),)


@maps("ControlNetLoader", "DiffControlNetLoader")
def _control_net(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("LoadControlNet", source=one.file("control_net_name")).link,)


@maps("UpscaleModelLoader")
def _upscaler(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("LoadUpscaler", source=one.file("model_name")).link,)


@maps("CLIPVisionLoader")
def _image_encoder(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("LoadImageEncoder", source=one.file("clip_name")).link,)


@maps("StyleModelLoader")
def _style_model(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("LoadRedux", source=one.file("style_model_name")).link,)


def _lora(one: MappedNode) -> Made:
    return one.add("LoadLoRA", "lora", source=one.file("lora_name"))


@maps("LoraLoader")
def _lora_on_both(one: MappedNode) -> tuple[Any, ...]:
    model, text = one.model_part(), one.text_part()
    lora = _lora(one)
    strength, on_text = one("strength_model"), one("strength_clip")
    made = one.add(
        "ApplyLoRA",
        lora=lora,
        model=model.link,
        text_encoder=text.link,
        strength=_number(strength),
        text_encoder_strength=None if on_text == strength else _number(on_text),
    )
    return with_link(model, made.output("model")), with_link(text, made.output("text_encoder"))


@maps("LoraLoaderModelOnly")
def _lora_on_model(one: MappedNode) -> tuple[Any, ...]:
    model = one.model_part()
    made = one.add("ApplyLoRAToModel", lora=_lora(one), model=model.link, strength=_number(one("strength_model")))
    return (with_link(model, made),)


@maps("HypernetworkLoader")
def _hypernetwork(one: MappedNode) -> tuple[Any, ...]:
    model = one.model_part()
    source, strength = one.file("hypernetwork_name"), _number(one("strength"))
    made = one.add("ApplyHypernetwork", model=model.link, source=source, strength=strength)
    return (with_link(model, made),)


def _number(given: Any) -> Any:
    """A literal number as a float."""
    return float(given) if isinstance(given, int) and not isinstance(given, bool) else given


@maps("ModelSamplingSD3", "ModelSamplingAuraFlow")
def _shifted(one: MappedNode) -> tuple[Any, ...]:
    return (replace(one.model_part(), shift=float(one.literal("shift"))),)


@maps("ModelSamplingFlux")
def _shifted_by_size(one: MappedNode) -> tuple[Any, ...]:
    """The shift of FLUX.1, in a line over the tokens of the picture (its published code: 256 to 4096 of them)."""
    import math

    most, least, width, height = (float(one.literal(name)) for name in ("max_shift", "base_shift", "width", "height"))
    share = (width * height / 256 - 256) / (4096 - 256)
    return (replace(one.model_part(), shift=math.exp(least + (most - least) * share)),)


@maps("RescaleCFG")
def _rescaled(one: MappedNode) -> tuple[Any, ...]:
    return (replace(one.model_part(), rescale=float(one.literal("multiplier"))),)


@maps("FreeU", "FreeU_V2")
def _free_u(one: MappedNode) -> tuple[Any, ...]:
    """Both versions go by the width of features, as the code of FreeU's authors; diffusers goes by blocks."""
    model, by = one.model_part(), "width" if one.node.type == "FreeU" else "width and mean"
    factors = {name: float(one.literal(name)) for name in ("b1", "b2", "s1", "s2")}
    return (with_link(model, one.add("FreeU", model=model.link, **factors, by=by)),)


PREDICTIONS = {"eps": "epsilon", "v_prediction": "v_prediction", "x0": "sample"}
"""What a model predicts, by ComfyUI's names."""


@maps("ModelSamplingDiscrete")
def _predicting(one: MappedNode) -> tuple[Any, ...]:
    """What the model predicts stands where it is loaded; LoRAs may lie between."""
    model, kind = one.model_part(), one.literal("sampling")
    if kind not in PREDICTIONS:
        raise UnmappableError(f"`sampling` is `{kind}`; mapped are {', '.join(PREDICTIONS)}")
    ends = "zero" if one.literal("zsnr", False) else None
    given = {"prediction": PREDICTIONS[kind], **({"terminal_snr": ends} if ends else {})}
    nodes, id = one.draft.nodes, model.link.node
    while nodes[id].type not in ("LoadCheckpoint", "LoadDiffusionModel"):
        above = nodes[id].inputs.get("model")
        if not isinstance(above, Link):
            raise UnmappableError("its model is not loaded by a node that says what it predicts")
        id = above.node
    if any(nodes[id].inputs.get(name, value) != value for name, value in given.items()) or _is_sampled(one, id):
        raise UnmappableError("the same model is used with another `sampling`; load it by a node of its own")
    nodes[id] = replace(nodes[id], inputs=MappingProxyType({**nodes[id].inputs, **given}))
    return (model,)


def _is_sampled(one: MappedNode, loader: str) -> bool:
    """Whether a guide or noise levels were made of a model that is loaded by a node, before this one was looked at."""
    for node in one.draft.nodes.values():
        link = node.inputs.get("model")
        if node.type in ("CFGGuide", "MakeComfySigmas") and isinstance(link, Link):
            while link.node != loader and isinstance(link := one.draft.nodes[link.node].inputs.get("model"), Link):
                pass
            if isinstance(link, Link):
                return True
    return False


@maps("PerturbedAttentionGuidance")
def _perturbed(one: MappedNode) -> tuple[Any, ...]:
    model = one.model_part()
    return (replace(model, guides=(*model.guides, ("PerturbedAttention", {"scale": _number(one("scale"))}))),)


@maps("ModelMergeSimple")
def _merged(one: MappedNode) -> tuple[Any, ...]:
    """`ratio` is the share of the first model there, and of the second here."""
    first, second = one.model_part("model1"), one.model_part("model2")
    ratio = round(1 - float(one.literal("ratio")), 6)
    return (with_link(first, one.add("MergeModels", model=first.link, other=second.link, ratio=ratio)),)


@maps("DifferentialDiffusion")
def _differential(one: MappedNode) -> tuple[Any, ...]:
    if float(one.literal("strength", 1.0)) != 1:
        raise UnmappableError("`strength` is not 1: what a mask says counts here as it is")
    return (replace(one.model_part(), differential=True),)
