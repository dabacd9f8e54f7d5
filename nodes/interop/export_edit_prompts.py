"""Prompts with pictures of Qwen-Image-Edit as ComfyUI's nodes, which scale and encode the pictures by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from weft.engine.graph.graph import Link, Node
from weft.nodes.interop.comfy_qwen import SEEN, SIDES
from weft.nodes.interop.entries import UnmappableError
from weft.nodes.interop.export_entries import ExportedNode, Outputs, exports, title_of
from weft.nodes.interop.export_guides import GuidedPrompts, around, guide_chain, place

MOST_PICTURES = 3
"""That the node of later versions takes there."""


class EditPictures(NamedTuple):
    """The pictures of a prompt.

    Args:
        sources: before they are scaled, in order.
        vae: that encodes them for the transformer; None where they are for the language model alone.
        scaled: the nodes that scale them.
    """

    sources: tuple[Any, ...]
    vae: Any
    scaled: tuple[str, ...]


def edit_parts(nodes: Mapping[str, Node], used: Mapping[str, set[str]]) -> Iterator[str]:
    """The nodes that scale pictures for prompts and guides alone."""
    for id, node in nodes.items():
        if node.type == "EncodeEditPrompt" and (found := edit_pictures(id, nodes)):
            own = {"EncodeEditPrompt", "ReferenceGuide"}
            yield from (one for one in found.scaled if all(nodes[user].type in own for user in used[one]))


def edit_pictures(id: str, nodes: Mapping[str, Node]) -> EditPictures | None:
    """The pictures of a prompt, where it and the guides of its sampler have them as ComfyUI's node does; else None."""
    node = nodes[id]
    images, numbered = node.inputs.get("images"), node.inputs.get("numbered", True)
    small = [_scaled(one, SEEN if numbered else 1.0, nodes) for one in _listed(images)]
    if not small or None in small or len(small) > (MOST_PICTURES if numbered else 1):
        return None
    sources = tuple(nodes[one].inputs["image"] for one in small if one)
    guides = list(_references(id, nodes))
    large = [_scaled(guide.inputs.get("image"), 1.0, nodes) for guide in guides]
    vaes = {guide.inputs.get("vae") for guide in guides}
    if not guides:
        return EditPictures(sources, None, tuple(one for one in small if one))
    if None in large or len(vaes) != 1 or tuple(nodes[one].inputs["image"] for one in large if one) != sources:
        return None
    return EditPictures(sources, vaes.pop(), tuple(one for one in (*small, *large) if one))


def _listed(images: Any) -> Sequence[Any]:
    return images if isinstance(images, tuple) else (images,)


def _scaled(image: Any, megapixels: float, nodes: Mapping[str, Node]) -> str | None:
    """The node that scales a picture as ComfyUI's does; None where it is scaled otherwise."""
    if not isinstance(image, Link) or image.node not in nodes:
        return None
    node = nodes[image.node]
    given = {name: one for name, one in node.inputs.items() if name != "image"}
    wanted = {"megapixels": megapixels, "filter": "box", "multiple": SIDES}
    return image.node if (node.type, given) == ("ScaleImageToPixels", wanted) else None


def _references(prompt: str, nodes: Mapping[str, Node]) -> Iterator[Node]:
    """The ReferenceGuides around the guide of a prompt, the first picture's first."""
    outer = [id for id, node in nodes.items() if node.type == "ReferenceGuide"]
    chains = [guide_chain(id, nodes) for id in outer]
    own = [one for one in chains if prompt in _prompts(nodes[one[-1]])]
    longest = max(own, key=len, default=())
    yield from (nodes[one] for one in reversed(longest) if nodes[one].type == "ReferenceGuide")


def _prompts(guide: Node) -> set[str]:
    given = (guide.inputs.get(name) for name in ("positive", "negative"))
    return {one.node for one in given if isinstance(one, Link)}


@exports("EncodeEditPrompt")
def _edited(one: ExportedNode) -> Outputs:
    found = edit_pictures(one.id, one.draft.nodes)
    if found is None:
        raise UnmappableError(
            "there, its pictures are scaled by the node itself: to 0.14 megapixels each for the language model (a "
            "megapixel where they are not numbered), and to a megapixel for ReferenceGuide, in multiples of 16 by `box`"
        )
    numbered = one.literal("numbered")
    type = "TextEncodeQwenImageEditPlus" if numbered else "TextEncodeQwenImageEdit"
    names = [f"image{number}" for number in range(1, MOST_PICTURES + 1)] if numbered else ["image"]
    pictures = {name: one.there(source) for name, source in zip(names, found.sources, strict=False)}
    one.read.add("images")
    given = {"clip": one("text_encoder"), "prompt": one("text"), "vae": found.vae and one.there(found.vae)}
    # The nodes that scale its pictures have its title in their ids, without the number that tells equal ones apart.
    named = re.fullmatch(r"(.+)_size(_\d+)?", found.scaled[0])
    own = one.id if named is None else named[1]
    id = one.draft.add(type, {**given, **pictures}, title_of(own, "encode_edit_prompt"))
    return {"": [id, 0]}


@around("ReferenceGuide")
def _referring(one: ExportedNode, given: GuidedPrompts, plain: ExportedNode) -> GuidedPrompts:
    """What the node of the prompts does there; else the picture is encoded by a node of its own."""
    prompts, nodes = _prompts(plain.node), one.draft.nodes
    edited = {id for id in prompts if nodes[id].type == "EncodeEditPrompt" and edit_pictures(id, nodes)}
    if prompts and edited == prompts:
        one.read |= {"vae", "image"}
        return place(one, given)
    latent = [one.draft.add("VAEEncode", {"pixels": one("image"), "vae": one("vae")}), 0]

    def refer(prompt: Any) -> Any:
        return [one.draft.add("ReferenceLatent", {"conditioning": prompt, "latent": latent}), 0]

    return place(one, given.changed(refer))
