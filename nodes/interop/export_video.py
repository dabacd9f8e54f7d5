"""Clips as ComfyUI's nodes: empty latents, Wan's pictures to begin and end with, decoding and files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from weft.engine.graph.graph import Node
from weft.nodes.interop.entries import UnmappableError
from weft.nodes.interop.export_entries import EXPORTS, ExportedNode, Output, Outputs, crop_of, exports
from weft.nodes.interop.export_guides import GuidedPrompts, around

__all__ = ["EXPORTS", "seen_pictures"]


@exports("EmptyVideoLatent")
def _empty(one: ExportedNode) -> Outputs:
    inputs = {name: one(name) for name in ("width", "height", "batch_size")}
    return {"": [one.add("EmptyHunyuanLatentVideo", {**inputs, "length": one("frames")}, "empty_video_latent"), 0]}


@exports("VAEDecodeVideo")
def _decoded(one: ExportedNode) -> Outputs:
    inputs = {"samples": one("latent"), "vae": one("vae")}
    tile = one.literal("tile")
    type, tiled = ("VAEDecodeTiled", {"tile_size": tile}) if tile else ("VAEDecode", {})
    pictures = one.draft.add(type, {**inputs, **tiled})
    return {"": [one.add("CreateVideo", {"images": [pictures, 0], "fps": one("rate")}, suffix="decode"), 0]}


@exports("MakeVideo")
def _made(one: ExportedNode) -> Outputs:
    inputs = {"images": one("images"), "audio": one("audio"), "fps": one("rate")}
    return {"": [one.add("CreateVideo", inputs, suffix="clip"), 0]}


@exports("SaveVideo")
def _saved(one: ExportedNode) -> Outputs:
    if one.literal("format") != "mp4":
        raise UnmappableError(f"`format` is {one.literal('format')}, and there clips are mp4")
    one.add("SaveVideo", {"video": one("video"), "filename_prefix": one("name")}, "save_video")
    return {}


def seen_pictures(nodes: Mapping[str, Node], used: Mapping[str, set[str]]) -> Iterator[str]:
    """The nodes that encode two pictures at once for a guide, which are two nodes there."""
    for id, node in nodes.items():
        both = node.type == "EncodeImage" and isinstance(node.inputs.get("image"), tuple)
        if both and used[id] and all(nodes[one].type == "ImageToVideoGuide" for one in used[id]):
            yield id


@around("ImageToVideoGuide")
def _beginning(one: ExportedNode, given: GuidedPrompts, plain: ExportedNode) -> GuidedPrompts:
    """Both prompts by the node that takes the pictures there; its latents are those of `EmptyVideoLatent`."""
    found = one.behind("latent")
    one.read.add("latent")
    if found is None or found[1].type != "EmptyVideoLatent":
        raise UnmappableError("`latent` is not that of EmptyVideoLatent, whose size pictures are scaled to there")
    latent = one.other(found[0])
    size = {name: latent(name) for name in ("width", "height", "batch_size")} | {"length": latent("frames")}
    prompts = {"positive": given.positive, "negative": given.negative or given.positive}
    inputs = {**prompts, "vae": one("vae"), **size, "start_image": _unscaled(one, "image", latent)}
    seen = _seen(one)
    if "last" in one.node.inputs:
        inputs["end_image"] = _unscaled(one, "last", latent)
        inputs |= dict(zip(("clip_vision_start_image", "clip_vision_end_image"), seen, strict=False))
    elif seen:
        inputs["clip_vision_output"] = seen[0]
    id = one.draft.add("WanFirstLastFrameToVideo" if "last" in one.node.inputs else "WanImageToVideo", inputs)
    return replace(given, positive=[id, 0], negative=None if given.negative is None else [id, 1])


def _unscaled(one: ExportedNode, name: str, latent: ExportedNode) -> Output:
    """The picture before it is scaled to the size of the clip, which that node does there."""
    found = one.behind(name)
    one.read.add(name)
    wanted = {"fit": "fill", **{side: latent.literal(side) for side in ("width", "height")}}
    if found is None or found[1].type != "ScaleImage":
        raise UnmappableError(f"`{name}` is not of ScaleImage, and there pictures are scaled to the size of the clip")
    scaled = one.other(found[0])
    bilinear = scaled.literal("filter") in ("bilinear_aliased", "bilinear")
    if not bilinear or any(scaled.literal(key) != value for key, value in wanted.items()):
        raise UnmappableError(f"`{name}` is scaled otherwise than to cover the clip, bilinearly, as it is there")
    picture: Output = scaled("image")
    return picture


def _seen(one: ExportedNode) -> list[Output]:
    """What an image encoder gives of the pictures, each by itself."""
    found = one.behind("embedding")
    if found is None:
        return []
    node = found[1]
    if node.type != "EncodeImage" or not isinstance(node.inputs.get("image"), tuple):
        return [one("embedding")]
    one.read.add("embedding")
    both = one.other(found[0])
    pictures, encoder = both("image"), both("image_encoder")
    encoded = ({"clip_vision": encoder, "image": picture, "crop": crop_of(both)} for picture in pictures)
    return [[one.draft.add("CLIPVisionEncode", inputs), 0] for inputs in encoded]
