"""What each node type of Weft's is in ComfyUI: a table of those that are one node there, and functions for others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from weft.engine.graph.graph import Link, Node
from weft.nodes.interop.comfy_prompts import LANGUAGE_MODELS, LENGTHS, SHARES, is_siglip
from weft.nodes.interop.comfy_sampling import SAMPLERS
from weft.nodes.interop.entries import UnmappableError
from weft.nodes.prompting.dynamic_text import chosen

TEXT_SOURCES = ("source", "source_2", "source_3", "source_4")
"""The inputs of LoadTextEncoder that have files."""

Output = list[Any]
"""An output of ComfyUI's: the id of a node and the index of its output."""

Outputs = Mapping[str, Output | str]
"""What the outputs of a node are, by name; the only one has the name `""`. A text is written where it is used."""


class UnwrittenError(Exception):
    """A node that is needed was not written, which is a problem of its own."""


class WrittenGraph(Protocol):
    """The graph while it is written (`weft.nodes.interop.comfy_export`)."""

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes of the graph that is written."""

    @property
    def outputs(self) -> Mapping[str, Outputs]:
        """What the outputs of nodes are there, by node."""

    def defaults(self, type: str) -> Mapping[str, Any]:
        """The defaults of a node type's inputs."""

    def add(self, type: str, inputs: Mapping[str, Any], title: str = "") -> str:
        """Write a node of ComfyUI's; inputs that are None take their defaults."""

    def give(self, id: str, outputs: Outputs) -> None:
        """Say what the outputs of a node are there which is written with another one."""


@dataclass
class ExportedNode:
    """A node while it is written; what an entry reads of it is noted.

    Args:
        defaults: of its inputs.
    """

    id: str
    node: Node
    defaults: Mapping[str, Any]
    draft: WrittenGraph
    read: set[str] = field(default_factory=set)

    def __call__(self, name: str) -> Any:
        """What an input is given: a literal, or an output of ComfyUI's; else its default."""
        self.read.add(name)
        given = self.node.inputs.get(name, self.defaults.get(name))
        if isinstance(given, tuple):
            return [self.there(one) if isinstance(one, Link) else one for one in given]
        return self.there(given) if isinstance(given, Link) else given

    def literal(self, name: str) -> Any:
        """The literal that an input is given.

        Raises:
            UnmappableError: where it is linked.
        """
        if isinstance(self.node.inputs.get(name), Link):
            raise UnmappableError(f"`{name}` is linked, and only a value can be written there")
        return self(name)

    def file(self, name: str) -> str | None:
        """The name of a file in one of ComfyUI's folders.

        Raises:
            UnmappableError: where it is no such name.
        """
        given = self.literal(name)
        if given is None:
            return None
        if ":" in given or given.startswith(("/", "~", "..")) or "." not in given.rpartition("/")[2]:
            raise UnmappableError(f"`{name}` is {given}, which is no file of a folder of models")
        return str(given)

    def other(self, id: str) -> ExportedNode:
        """Another node of the graph, which is a part of this one there."""
        node = self.draft.nodes[id]
        return ExportedNode(id, node, self.draft.defaults(node.type), self.draft)

    def behind(self, name: str) -> tuple[str, Node] | None:
        """The node that an input is linked to, with its id."""
        given = self.node.inputs.get(name)
        return (given.node, self.draft.nodes[given.node]) if isinstance(given, Link) else None

    def there(self, link: Link) -> Output | str:
        """What a link of the graph leads to there."""
        found = self.draft.outputs.get(link.node)
        if found is None:
            raise UnwrittenError(link.node)
        if (output := found.get(link.output or "", found.get("") if link.output is None else None)) is None:
            raise UnmappableError(f"the output {link} has no counterpart there")
        return output

    def add(self, type: str, inputs: Mapping[str, Any], *usual: str, suffix: str = "") -> str:
        """Write a node of ComfyUI's with a title that gives this node its id again.

        Args:
            usual: ids that it has without a title.
            suffix: what reading adds to the title.
        """
        return self.draft.add(type, inputs, title_of(self.id, *usual, suffix=suffix))

    def unread(self) -> list[str]:
        """Inputs that were given other values than their defaults, and were not read."""
        given = self.node.inputs.items()
        return [name for name, one in given if name not in self.read and one != self.defaults.get(name)]


def title_of(id: str, *usual: str, suffix: str = "") -> str:
    """The title that gives a node this id when it is read; empty where it has it without one."""
    if any(re.fullmatch(rf"{one}(_\d+)?", id) for one in (*usual, suffix) if one):
        return ""
    return id.removesuffix(f"_{suffix}") if suffix else id


SAMPLER_NAMES = {
    own: name for name, own in reversed([*SAMPLERS.items()]) if name != "ddim" and not name.endswith("_gpu")
}
"""ComfyUI's names of samplers over noise levels."""

ExportEntry = Callable[[ExportedNode], Outputs]
"""Writes what a node is there; gives what its outputs are."""


def _only(id: str) -> Outputs:
    return {"": [id, 0]}


@dataclass(frozen=True)
class Plain:
    """A node that is one node there.

    Args:
        type: its class.
        inputs: by the names here, with the names there; with `!` behind it, the name of a file.
        outputs: the names here, in the order there.
        fixed: inputs there that this node has no input for.
        needs: what inputs here must be that have none there.
        ignored: inputs here whose value there is always one, of which a level of colour depends at most.
        usual: the id that reading gives it without a title.
    """

    type: str
    inputs: Mapping[str, str]
    outputs: tuple[str, ...] = ("",)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()

    def __call__(self, one: ExportedNode) -> Outputs:
        for name, wanted in self.needs.items():
            if one.literal(name) != wanted:
                raise UnmappableError(f"`{name}` is {one.literal(name)}, and there it is always {wanted}")
        given = {
            there.rstrip("!"): one.file(name) if there.endswith("!") else one(name)
            for name, there in self.inputs.items()
        }
        one.read |= {*self.ignored}
        id = one.add(self.type, {**given, **self.fixed}, *self.usual)
        return {name: [id, index] for index, name in enumerate(self.outputs)}


EXPORTS: dict[str, ExportEntry] = {
    "LoadCheckpoint": Plain(
        "CheckpointLoaderSimple",
        {"source": "ckpt_name!"},
        ("model", "text_encoder", "vae"),
        usual=("load_checkpoint",),
    ),
    "LoadControlNet": Plain("ControlNetLoader", {"source": "control_net_name!"}, usual=("load_control_net",)),
    "LoadUpscaler": Plain("UpscaleModelLoader", {"source": "model_name!"}, usual=("load_upscaler",)),
    "LoadImageEncoder": Plain("CLIPVisionLoader", {"source": "clip_name!"}, usual=("load_image_encoder",)),
    "LoadRedux": Plain("StyleModelLoader", {"source": "style_model_name!"}, usual=("load_redux",)),
    "EmptyLatent": Plain(
        "EmptyLatentImage",
        {"width": "width", "height": "height", "batch_size": "batch_size"},
        usual=("empty_latent",),
    ),
    "RepeatLatent": Plain("RepeatLatentBatch", {"latent": "samples", "times": "amount"}, usual=("repeat_latent",)),
    "TakeLatents": Plain(
        "LatentFromBatch", {"latent": "samples", "first": "batch_index", "count": "length"}, usual=("take_latents",)
    ),
    "SaveImage": Plain(
        "SaveImage",
        {"image": "images", "name": "filename_prefix"},
        (),
        needs={"format": "png"},
        ignored=("rounding",),
        usual=("save_image",),
    ),
    "LoadImage": Plain("LoadImage", {"path": "image!"}, usual=("load_image",)),
    "InvertImage": Plain("ImageInvert", {"image": "image"}, usual=("invert_image",)),
    "UpscaleImage": Plain(
        "ImageUpscaleWithModel", {"upscaler": "upscale_model", "image": "image"}, usual=("upscale_image",)
    ),
    "CropImage": Plain(
        "ImageCrop",
        {"image": "image", "width": "width", "height": "height", "left": "x", "top": "y"},
        usual=("crop_image",),
    ),
    "MaskToImage": Plain("MaskToImage", {"mask": "mask"}, usual=("mask_to_image",)),
    "ZeroPrompt": Plain("ConditioningZeroOut", {"prompt": "conditioning"}, usual=("zero_prompt",)),
    "PromptSteps": Plain(
        "ConditioningSetTimestepRange",
        {"prompt": "conditioning", "start": "start", "end": "end"},
        usual=("prompt_steps",),
    ),
    "PromptWindow": Plain(
        "ConditioningSetArea",
        {"prompt": "conditioning", **SHARES, "strength": "strength"},
        usual=("prompt_window",),
    ),
    "PromptWindowShare": Plain(
        "ConditioningSetAreaPercentage",
        {"prompt": "conditioning", **SHARES, "strength": "strength"},
        usual=("prompt_window_share",),
    ),
    "PromptMask": Plain(
        "ConditioningSetMask",
        {"prompt": "conditioning", "mask": "mask", "strength": "strength"},
        usual=("prompt_mask",),
    ),
    "SplitSigmas": Plain(
        "SplitSigmas", {"sigmas": "sigmas", "step": "step"}, ("before", "after"), usual=("split_sigmas",)
    ),
    "SetFirstSigma": Plain(
        "SetFirstSigma", {"sigmas": "sigmas", "sigma": "sigma"}, usual=("set_first_sigma", "sigmas")
    ),
    "FlipSigmas": Plain("FlipSigmas", {"sigmas": "sigmas"}, needs={"least": 0.0001}, usual=("flip_sigmas",)),
    "ApplyRedux": Plain(
        "StyleModelApply",
        {"prompt": "conditioning", "redux": "style_model", "embedding": "clip_vision_output", "strength": "strength"},
        usual=("apply_redux",),
    ),
    "EmptyLayeredLatent": Plain(
        "EmptyQwenImageLayeredLatentImage",
        {name: name for name in ("width", "height", "layers", "batch_size")},
        usual=("empty_layered_latent",),
    ),
    "SplitLayers": Plain(
        "LatentCutToBatch",
        {"latent": "samples"},
        fixed={"dim": "t", "slice_size": 1},
        needs={"whole": True},
        usual=("split_layers", "layers"),
    ),
}
"""Every node type that has a counterpart."""


def exports(type: str) -> Callable[[ExportEntry], ExportEntry]:
    """Register the entry of a node type."""

    def register(entry: ExportEntry) -> ExportEntry:
        EXPORTS[type] = entry
        return entry

    return register


@exports("SetNoiseMask")
def _masked(one: ExportedNode) -> Outputs:
    """Where it says in which steps a place is painted, a node of the model does so there."""
    if one.literal("mode") not in ("soft", "differential"):
        raise UnmappableError(f"`mode` is {one.literal('mode')}, and there it is soft, or differential by the model")
    inputs = {"samples": one("latent"), "mask": one("mask")}
    return _only(one.add("SetLatentNoiseMask", inputs, "set_noise_mask", "mask"))


@exports("ApplyControlNet")
def _controlled(one: ExportedNode) -> Outputs:
    names = ("positive", "negative", "control_net", "image", "vae", "strength")
    inputs = {**{name: one(name) for name in names}, "start_percent": one("start"), "end_percent": one("end")}
    if (mask := one("mask")) is not None:
        id = one.add("ControlNetInpaintingAliMamaApply", {**inputs, "mask": mask}, "apply_control_net")
    else:
        id = one.add("ControlNetApplyAdvanced", inputs, "apply_control_net")
    return {"positive": [id, 0], "negative": [id, 1]}


@exports("LoadDiffusionModel")
def _denoiser(one: ExportedNode) -> Outputs:
    kinds = {"file": "default", "fp8": "fp8_e4m3fn"}
    kind = kinds.get(one.literal("weights"))
    if kind is None:
        raise UnmappableError(f"`weights` is {one.literal('weights')}, expected file or fp8")
    return _only(one.add("UNETLoader", {"unet_name": one.file("source"), "weight_dtype": kind}, "load_diffusion_model"))


@exports("LoadVAE")
def _vae(one: ExportedNode) -> Outputs:
    one("model")
    return _only(one.add("VAELoader", {"vae_name": one.file("source")}, "load_vae"))


@exports("LoadTextEncoder")
def _text_encoders(one: ExportedNode) -> Outputs:
    """Its kind follows from the names of the files: T5 with CLIP-L is FLUX.1's pair, two of CLIP's are SDXL's."""
    one("model")
    names = [name for source in TEXT_SOURCES if (name := one.file(source))]
    type = ("CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader", "QuadrupleCLIPLoader")[len(names) - 1]
    keys = ["clip_name"] if len(names) == 1 else [f"clip_name{number}" for number in range(1, len(names) + 1)]
    kind = {} if len(names) > 2 else {"type": text_kind(names), "device": "default"}
    return _only(one.add(type, {**dict(zip(keys, names, strict=True)), **kind}, "load_text_encoder"))


def text_kind(names: list[str]) -> str:
    """What ComfyUI calls the models that text encoders of these names are for."""
    plain = " ".join(names).lower()
    if len(names) == 4:
        return "hidream"
    if len(names) == 2:
        return "sdxl" if "t5" not in plain else "sd3" if "clip_g" in plain else "flux"
    kinds = {"qwen_2.5_vl": "qwen_image", "qwen_3": "lumina2", "qwen3": "lumina2", "umt5": "wan", "t5": "sd3"}
    kinds |= {"mistral_3": "flux2"}
    return next((kind for mark, kind in kinds.items() if mark in plain), "stable_diffusion")


@exports("TextEncode")
def _text(one: ExportedNode) -> Outputs:
    text, weights, weighting = one("text"), one.literal("weights"), one.literal("weighting")
    encoder = one("text_encoder")
    plain = isinstance(text, str) and not re.search(r"[()\\]|embedding:", text)
    if not (plain or (weights and weighting == "empty_prompt") or (not weights and _reads_no_weights(one))):
        hint = 'set `weighting` to "empty_prompt", as ComfyUI has it'
        raise UnmappableError(f"its text has weights of words, which mean something else there; {hint}")
    if (length := one.literal("max_sequence_length")) and length != LENGTHS.get(_kind_of_texts(one)):
        raise UnmappableError("`max_sequence_length` is chosen, and there it is that of the family")
    if layer := one.literal("clip_layer"):
        clip = one.draft.add("CLIPSetLastLayer", {"clip": encoder, "stop_at_clip_layer": -layer})
        encoder = [clip, 0]
    if (other := one("text_2")) is not None:
        if one("text_3") is not None or _kind_of_texts(one) != "flux":
            raise UnmappableError("texts of several text models are written for FLUX.1 alone")
        both = {"clip": encoder, "clip_l": text, "t5xxl": other, "guidance": 3.5}
        return _only(one.add("CLIPTextEncodeFlux", both, "text_encode"))
    return _only(one.add("CLIPTextEncode", {"text": text, "clip": encoder}, "text_encode"))


def _reads_no_weights(one: ExportedNode) -> bool:
    """Whether its text encoders are of models that read no weights there."""
    return _kind_of_texts(one) in LANGUAGE_MODELS


def _kind_of_texts(one: ExportedNode) -> str:
    """What ComfyUI calls the models that its text encoders are for; empty where no node says it."""
    found = one.behind("text_encoder")
    inputs = found[1].inputs if found and found[1].type == "LoadTextEncoder" else {}
    names = [str(inputs[name]) for name in TEXT_SOURCES if inputs.get(name)]
    return text_kind(names) if names else ""


@exports("ChooseWords")
def _words(one: ExportedNode) -> Outputs:
    """There the editor chooses, and what it queues has the words."""
    text, seed = one.literal("text"), one.literal("seed")
    return {"": chosen(text, seed)}


@exports("CombinePrompts")
def _combined(one: ExportedNode) -> Outputs:
    return _in_pairs(one, "ConditioningCombine", "conditioning_1", "conditioning_2", "combine_prompts")


@exports("ConcatPrompts")
def _concatenated(one: ExportedNode) -> Outputs:
    return _in_pairs(one, "ConditioningConcat", "conditioning_to", "conditioning_from", "concat_prompts")


def _in_pairs(one: ExportedNode, type: str, first: str, second: str, usual: str) -> Outputs:
    prompts = one("prompts")
    if not isinstance(prompts, list) or len(prompts) != 2:
        raise UnmappableError("there, two prompts go into this node; write one node for each pair")
    return _only(one.add(type, {first: prompts[0], second: prompts[1]}, usual))


@exports("AveragePrompts")
def _averaged(one: ExportedNode) -> Outputs:
    strength = round(1 - float(one.literal("weight")), 6)
    given = {"conditioning_to": one("first"), "conditioning_from": one("second")}
    inputs = {**given, "conditioning_to_strength": strength}
    return _only(one.add("ConditioningAverage", inputs, "average_prompts"))


@exports("ApplyLoRA")
def _lora(one: ExportedNode) -> Outputs:
    on_text = one("text_encoder_strength")
    inputs = {"model": one("model"), "clip": one("text_encoder"), "lora_name": _lora_file(one)}
    strengths = {"strength_model": one("strength"), "strength_clip": one("strength") if on_text is None else on_text}
    id = one.add("LoraLoader", {**inputs, **strengths}, "apply_lo_ra", "apply_lora")
    return {"model": [id, 0], "text_encoder": [id, 1]}


@exports("ApplyLoRAToModel")
def _lora_on_model(one: ExportedNode) -> Outputs:
    inputs = {"model": one("model"), "lora_name": _lora_file(one), "strength_model": one("strength")}
    return _only(one.add("LoraLoaderModelOnly", inputs, "apply_lo_ra_to_model", "apply_lora_to_model"))


def _lora_file(one: ExportedNode) -> str | None:
    """The file of the LoRA that is applied, which is a node of its own here."""
    found = one.behind("lora")
    one.read.add("lora")
    if found is None or found[1].type != "LoadLoRA":
        raise UnmappableError("its LoRA is not from LoadLoRA")
    loader = one.other(found[0])
    name = loader.file("source")
    if left := loader.unread():
        raise UnmappableError(f"`{left[0]}` of LoadLoRA cannot be written there")
    return name


@exports("MergeModels")
def _merged(one: ExportedNode) -> Outputs:
    ratio = round(1 - float(one.literal("ratio")), 6)
    inputs = {"model1": one("model"), "model2": one("other"), "ratio": ratio}
    return _only(one.add("ModelMergeSimple", inputs, "merge_models"))


@exports("FreeU")
def _free_u(one: ExportedNode) -> Outputs:
    types = {"width": "FreeU", "width and mean": "FreeU_V2"}
    if one.literal("by") not in types:
        raise UnmappableError("`by` is block, as in diffusers; there it is width, or width and mean (FreeU_V2)")
    inputs = {name: one(name) for name in ("model", "b1", "b2", "s1", "s2")}
    return _only(one.add(types[one.literal("by")], inputs, "free_u"))


@exports("VAEDecode")
def _decoded(one: ExportedNode) -> Outputs:
    inputs = {"samples": one("latent"), "vae": one("vae")}
    if tile := one.literal("tile"):
        return _only(one.add("VAEDecodeTiled", {**inputs, "tile_size": tile}, "vae_decode"))
    return _only(one.add("VAEDecode", inputs, "vae_decode"))


@exports("EncodeImage")
def _seen(one: ExportedNode) -> Outputs:
    inputs = {"clip_vision": one("image_encoder"), "image": one("image"), "crop": crop_of(one)}
    if not isinstance(one.node.inputs.get("image"), Link):
        raise UnmappableError("`image` is a list, and there each picture is encoded by a node of its own")
    return _only(one.add("CLIPVisionEncode", inputs, "encode_image"))


def crop_of(one: ExportedNode) -> str:
    """What an image encoder sees of a picture: SigLIP all of it, and CLIP the middle."""
    found = one.behind("image_encoder")
    file = str(found[1].inputs.get("source", "")).lower() if found else ""
    return "none" if is_siglip(file) else "center"


@exports("VAEEncode")
def _encoded(one: ExportedNode) -> Outputs:
    if one.literal("sample"):
        raise UnmappableError("`sample` is on, and there latents are the mean of what the VAE gives")
    inputs = {"pixels": one("image"), "vae": one("vae")}
    if tile := one.literal("tile"):
        return _only(one.add("VAEEncodeTiled", {**inputs, "tile_size": tile}, "vae_encode"))
    return _only(one.add("VAEEncode", inputs, "vae_encode"))
