"""Guides around guides as ComfyUI's nodes: there a picture that a model reads belongs to the prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from weft.engine.graph.graph import Link, Node
from weft.nodes.interop.entries import UnmappableError
from weft.nodes.interop.export_entries import ExportedNode, Output


@dataclass(frozen=True)
class GuidedPrompts:
    """What a guide is there.

    Args:
        middle: the prompt between the negative and the positive one, with the scale of guidance to it.
    """

    model: Output
    positive: Output
    negative: Output | None
    scale: Any
    middle: Output | None = None
    middle_scale: Any = None

    def changed(self, change: Callable[[Output], Output]) -> GuidedPrompts:
        """With both prompts changed."""
        negative = None if self.negative is None else change(self.negative)
        return replace(self, positive=change(self.positive), negative=negative)


Around = Callable[[ExportedNode, GuidedPrompts, ExportedNode], GuidedPrompts]
"""Writes what a guide around another one is there; the third is the CFGGuide in the middle."""

AROUND: dict[str, Around] = {}
"""Guides around another one."""

ALONE = frozenset({"MiddlePromptGuide"})
"""Those that need a guider of their own, which KSampler there has not."""


def around(type: str) -> Callable[[Around], Around]:
    """Register what a node type is."""

    def register(entry: Around) -> Around:
        AROUND[type] = entry
        return entry

    return register


def guide_chain(id: str, nodes: Mapping[str, Node]) -> tuple[str, ...]:
    """A guide with those that it is around, the innermost last."""
    found = [id]
    while nodes[found[-1]].type in AROUND:
        given = nodes[found[-1]].inputs.get("guide")
        if not isinstance(given, Link) or given.node not in nodes or given.node in found:
            break
        found.append(given.node)
    return tuple(found)


def inner_guides(nodes: Mapping[str, Node], used: Mapping[str, set[str]]) -> Iterator[str]:
    """The guides that are written with the one around them, and what is written with a guide."""
    for id, node in nodes.items():
        if node.type in AROUND:
            chain = guide_chain(id, nodes)
            yield from (inner for outer, inner in pairwise(chain) if used[inner] == {outer})
        if node.type == "DensePredictionGuide":
            yield from _empty_prompt_parts(node, nodes, used)
        if node.type in ("InpaintGuide", "ControlGuide") and (found := latents_of(id, nodes)):
            yield from _used_alone(found[1], found[0], used)
        if node.type == "KSampler" and (noise := _noise_of_layers(node, nodes)) and used[noise] == {id}:
            yield noise


def _used_alone(parts: tuple[str, ...], user: str, used: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Nodes of which each is used by the one before it alone, the first by the user; none where one is not."""
    users = zip(parts, (user, *parts), strict=False)
    return parts if all(used[part] == {own} for part, own in users) else ()


def _behind(node: Node, name: str, nodes: Mapping[str, Node]) -> str:
    """The id of the node that an input is linked to; empty where it is linked to none."""
    given = node.inputs.get(name)
    return given.node if isinstance(given, Link) and given.node in nodes else ""


@around("ReferenceLatentGuide")
def _referring(one: ExportedNode, given: GuidedPrompts, plain: ExportedNode) -> GuidedPrompts:
    latent = one("latent")
    return place(one, given.changed(lambda prompt: _refer(one, prompt, latent)))


def _refer(one: ExportedNode, prompt: Output, latent: Any) -> Output:
    return [one.draft.add("ReferenceLatent", {"conditioning": prompt, "latent": latent}), 0]


def place(one: ExportedNode, given: GuidedPrompts) -> GuidedPrompts:
    """With the way in which the model reads the pictures, where a graph says it."""
    clean, diagonal = one.literal("clean"), one.literal("places") == "diagonal"
    if clean and diagonal:
        raise UnmappableError("`clean` and `places` are one choice there")
    stated = "places" in one.node.inputs
    method = "index_timestep_zero" if clean else "uxo/uno" if diagonal else "index" if stated else None
    if method is None:
        return given

    def place(prompt: Output) -> Output:
        inputs = {"conditioning": prompt, "reference_latents_method": method}
        return [one.draft.add("FluxKontextMultiReferenceLatentMethod", inputs), 0]

    return given.changed(place)


@around("InpaintGuide")
def _inpainting(one: ExportedNode, given: GuidedPrompts, plain: ExportedNode) -> GuidedPrompts:
    if one.literal("sample"):
        raise UnmappableError("`sample` is on, and there latents are the mean of what the VAE gives")
    inputs = {"vae": one("vae"), "pixels": one("image"), "mask": one("mask")}
    return _with_latents(one, given, "InpaintModelConditioning", inputs)


@around("ControlGuide")
def _following(one: ExportedNode, given: GuidedPrompts, plain: ExportedNode) -> GuidedPrompts:
    return _with_latents(one, given, "InstructPixToPixConditioning", {"vae": one("vae"), "pixels": one("image")})


def _with_latents(one: ExportedNode, given: GuidedPrompts, type: str, inputs: Mapping[str, Any]) -> GuidedPrompts:
    """Both prompts by a node that gives the latents of the sampler too, where they are its own."""
    found = latents_of(one.id, one.draft.nodes)
    masked = found is not None and one.draft.nodes[found[1][0]].type == "SetNoiseMask"
    asked = {"noise_mask": masked} if type == "InpaintModelConditioning" else {}
    prompts = {"positive": given.positive, "negative": given.negative or given.positive}
    id = one.draft.add(type, {**prompts, **inputs, **asked}, _title(found[1] if found else ()))
    if found:
        one.draft.give(found[1][0], {"": [id, 2]})
    return replace(given, positive=[id, 0], negative=None if given.negative is None else [id, 1])


def _title(parts: tuple[str, ...]) -> str:
    """The title that gives the latents of a prompt's node their ids again."""
    for part in parts:
        for suffix in ("_latent", "_mask", "_size"):
            if part.endswith(suffix):
                return part.removesuffix(suffix)
    return ""


def samplers_of(guide: str, nodes: Mapping[str, Node]) -> dict[str, Node]:
    """The samplers that go by a guide, or by those around it."""
    return {
        id: node
        for id, node in nodes.items()
        if node.type == "KSampler" and (own := _behind(node, "guide", nodes)) and guide in guide_chain(own, nodes)
    }


def latents_of(guide: str, nodes: Mapping[str, Node]) -> tuple[str, tuple[str, ...]] | None:
    """The sampler of a guide, and the nodes that make its latents, where the node of the guide does so there."""
    for id, node in samplers_of(guide, nodes).items():
        parts = _latent_parts(nodes[guide], _behind(node, "latent", nodes), nodes)
        if parts:
            return id, parts
    return None


def _latent_parts(guide: Node, latent: str, nodes: Mapping[str, Node]) -> tuple[str, ...]:
    node = nodes.get(latent)
    if node is None:
        return ()
    if guide.type == "ControlGuide":
        size = _behind(node, "width", nodes)
        own = Node("EmptyLatent", {"width": Link(size, "width"), "height": Link(size, "height")})
        alike = (node.type, dict(node.inputs)) == (own.type, own.inputs) and nodes[size].type == "ImageSize"
        return (latent, size) if alike and nodes[size].inputs.get("image") == guide.inputs.get("image") else ()
    encoded = {"vae": guide.inputs.get("vae"), "image": guide.inputs.get("image")}
    if node.type == "VAEEncode":
        return (latent,) if dict(node.inputs) == encoded else ()
    below = _behind(node, "latent", nodes)
    masked = node.type == "SetNoiseMask" and node.inputs.get("mask") == guide.inputs.get("mask")
    masked = masked and node.inputs.get("mode") in ("soft", "differential") and bool(below)
    return (latent, below) if masked and _latent_parts(guide, below, nodes) == (below,) else ()


def differential(one: ExportedNode, model: Output) -> Output:
    """The model of a sampler whose mask says in which steps a place is painted, which a node of models says there."""
    found = one.behind("latent")
    if found is None or found[1].inputs.get("mode") != "differential":
        return model
    return [one.draft.add("DifferentialDiffusion", {"model": model, "strength": 1.0}), 0]


@around("PerturbedAttention")
def _perturbed(one: ExportedNode, given: GuidedPrompts, plain: ExportedNode) -> GuidedPrompts:
    inputs = {"model": given.model, "scale": one("scale")}
    return replace(given, model=[one.draft.add("PerturbedAttentionGuidance", inputs), 0])


@around("MiddlePromptGuide")
def _in_the_middle(one: ExportedNode, given: GuidedPrompts, plain: ExportedNode) -> GuidedPrompts:
    return replace(given, middle=one("prompt"), middle_scale=one("scale"))


@around("DensePredictionGuide")
def _mapping(one: ExportedNode, given: GuidedPrompts, plain: ExportedNode) -> GuidedPrompts:
    """There the sampler has the picture, as its latents."""
    latent = one.node.inputs.get("latent")
    for node in samplers_of(one.id, one.draft.nodes).values():
        if node.inputs.get("latent") != latent or node.inputs.get("add_noise") is not False:
            raise UnmappableError("there, the picture is the latent of the sampler, which adds no noise to it")
    one.read.add("latent")
    return given


def _empty_prompt_parts(guide: Node, nodes: Mapping[str, Node], used: Mapping[str, set[str]]) -> tuple[str, ...]:
    """The empty prompt and its text encoder, which there are one node without a file."""
    plain = guide_chain(_behind(guide, "guide", nodes), nodes)[-1] if _behind(guide, "guide", nodes) else ""
    prompt = _behind(nodes[plain], "positive", nodes) if plain else ""
    texts = _behind(nodes[prompt], "text_encoder", nodes) if prompt else ""
    if not texts or nodes[prompt].inputs.get("text") != "" or nodes[texts].type != "LoadTextEncoder":
        return ()
    return _used_alone((prompt, texts), plain, used)


def empty_prompt(plain: ExportedNode, guide: ExportedNode) -> Output:
    """The empty prompt of Lotus.

    Raises:
        UnmappableError: where it is another one.
    """
    plain.read.add("positive")
    found = plain.behind("positive")
    if found is None or found[1].inputs.get("text") != "":
        raise UnmappableError("there, a model of Lotus reads the empty prompt alone")
    return [plain.draft.add("LotusConditioning", {}), 0]


def _noise_of_layers(sampler: Node, nodes: Mapping[str, Node]) -> str:
    """The noise that ComfyUI draws itself for the layers of a picture; empty where it is another one."""
    noise = _behind(sampler, "noise", nodes)
    node = nodes.get(noise)
    if node is None or node.type != "DrawNoise":
        return ""
    wanted = {"latent": sampler.inputs.get("latent"), "seed": sampler.inputs.get("seed", 0)}
    wanted |= {"generator": "batch", "by_frame": False}
    return noise if {**node.inputs, "model": None} == {**wanted, "model": None} else ""


def check_noise(one: ExportedNode) -> None:
    """Raise `UnmappableError` where a sampler has noise of its own that ComfyUI does not draw itself."""
    if one.node.inputs.get("noise") is None:
        return
    if not _noise_of_layers(one.node, one.draft.nodes):
        raise UnmappableError("`noise` is drawn by a node of its own, and there the sampler draws it from its seed")
    one.read.add("noise")
