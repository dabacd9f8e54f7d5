"""ComfyUI's clips: empty latents, Wan's pictures to begin and end with, files; FLUX.2's noise levels by size."""

from __future__ import annotations

from typing import Any

from weft.engine.graph.graph import Link
from weft.nodes.interop.comfy_pictures import saved_name
from weft.nodes.interop.entries import UnmappableError
from weft.nodes.interop.writing import Made, MappedNode, maps


@maps("EmptyHunyuanLatentVideo")
def _empty(one: MappedNode) -> tuple[Any, ...]:
    return (_empty_clip(one).link,)


def _empty_clip(one: MappedNode, suffix: str = "") -> Made:
    batch = one("batch_size")
    sides = {name: one(name) for name in ("width", "height")}
    made = one.add("EmptyVideoLatent", suffix, **sides, frames=one("length"), batch_size=None if batch == 1 else batch)
    for name, what in (("width", "of the frames, in pixels"), ("height", "of the frames, in pixels")):
        one.parameter(name, made, name, what)
    one.parameter("frames", made, "frames", "of the clip")
    return made


@maps("WanImageToVideo")
def _from_a_picture(one: MappedNode) -> tuple[Any, ...]:
    if one.has("clip_vision_output") and not one.has("start_image"):
        raise UnmappableError("`clip_vision_output` is given without `start_image`")
    return _between_pictures(one, "clip_vision_output")


@maps("WanFirstLastFrameToVideo")
def _from_two_pictures(one: MappedNode) -> tuple[Any, ...]:
    if one.has("end_image") and not one.has("start_image"):
        raise UnmappableError("`end_image` is given without `start_image`, with which a clip begins here")
    seen = [name for name in ("clip_vision_start_image", "clip_vision_end_image") if one.has(name)]
    if seen and len(seen) != sum(one.has(name) for name in ("start_image", "end_image")):
        raise UnmappableError("an image encoder has seen one of the pictures and not the other one")
    return _between_pictures(one, *seen)


def _between_pictures(one: MappedNode, *seen: str) -> tuple[Any, ...]:
    """Both prompts with the pictures that the clip begins and ends with, and its empty latents.

    Args:
        seen: the inputs that have what an image encoder gives of the pictures.
    """
    both = (one.prompt("positive"), one.prompt("negative"))
    latent = _empty_clip(one, "latent")
    if not one.has("start_image"):
        return (*both, latent.link)
    one.assume(f"{one.node.type}: pictures are scaled to cover the frames, bilinearly, and cut to them in the middle")
    size = {"width": one("width"), "height": one("height"), "fit": "fill", "filter": "bilinear_aliased"}
    shown = {
        input: one.add("ScaleImage", "scaled", image=one.link(name), **size).link
        for input, name in (("image", "start_image"), ("last", "end_image"))
        if one.has(name)
    }
    embedding = _embedding(one, [one.link(name) for name in seen if one.has(name)])
    given = {"vae": one.link("vae"), "latent": latent.link, **shown, "embedding": embedding}
    guided = (
        part.guided("ImageToVideoGuide", **{name: value for name, value in given.items() if value is not None})
        for part in both
    )
    return (*guided, latent.link)


def _embedding(one: MappedNode, seen: list[Link]) -> Link | None:
    """What an image encoder gives of one picture, or of both in one call."""
    if len(seen) < 2:
        return seen[0] if seen else None
    nodes = [one.draft.nodes[link.node] for link in seen]
    first, last = (dict(node.inputs) for node in nodes)
    if any(node.type != "EncodeImage" for node in nodes) or first.get("image_encoder") != last.get("image_encoder"):
        raise UnmappableError("its pictures are seen by two image encoders")
    return one.add("EncodeImage", "seen", **{**first, "image": [first["image"], last["image"]]}).link


@maps("CreateVideo")
def _made(one: MappedNode) -> tuple[Any, ...]:
    """A clip that is decoded for this alone is decoded part by part, which takes less memory."""
    images, rate = one.link("images"), one("fps")
    rate = float(rate) if isinstance(rate, int) else rate
    decoded = one.draft.nodes[images.node]
    audio = one.link("audio") if one.has("audio") else None
    if decoded.type == "VAEDecode":
        made = one.add("VAEDecodeVideo", "decode", **decoded.inputs, rate=rate)
        one.parameter("rate", made, "rate", "frames a second")
        return (one.add("SetAudio", "sounding", video=made, audio=audio).link if audio else made.link,)
    made = one.add("MakeVideo", "clip", images=images, audio=audio, rate=rate)
    one.parameter("rate", made, "rate", "frames a second")
    return (made.link,)


@maps("SaveVideo")
def _saved(one: MappedNode) -> tuple[Any, ...]:
    prefix = one("filename_prefix")
    name = saved_name(prefix) if isinstance(prefix, str) else prefix
    made = one.add("SaveVideo", video=one.link("video"), name=name, format="mp4")
    one.parameter("format", made, "format", "mp4, webm, webp or gif; the first two need the extra video")
    return ()


@maps("SaveAnimatedWEBP")
def _saved_as_a_picture(one: MappedNode) -> tuple[Any, ...]:
    images, rate, prefix = one.link("images"), one("fps"), one("filename_prefix")
    if one.draft.nodes[images.node].type == "SetAlpha":
        raise UnmappableError("its pictures are transparent, and clips are not here")
    name = saved_name(prefix) if isinstance(prefix, str) else prefix
    clip = one.add("MakeVideo", "clip", images=images, rate=float(rate) if isinstance(rate, int) else rate)
    quality = "lossless" if one.literal("lossless") else "high"
    one.add("SaveVideo", video=clip, name=name, format="webp", quality=quality)
    return ()


@maps("LoadVideo")
def _loaded(one: MappedNode) -> tuple[Any, ...]:
    made = one.add("LoadVideo", path=one.file("file"))
    one.parameter("video", made, "path", "the clip to start from")
    return (made.link,)


@maps("GetVideoComponents")
def _parts(one: MappedNode) -> tuple[Any, ...]:
    """The rate of a clip is none of its outputs here."""
    if 2 in one.uses:
        raise UnmappableError("its `fps` is linked, and no node here gives the rate of a clip; write the number there")
    video = one.link("video")
    frames = one.add("SplitVideo", "frames", video=video).link if 0 in one.uses else None
    return frames, one.add("TakeAudio", "audio", video=video).link if 1 in one.uses else None, None


@maps("Flux2Scheduler")
def _levels_by_size(one: MappedNode) -> tuple[Any, ...]:
    made = one.add("MakeFlux2Sigmas", "sigmas", width=one("width"), height=one("height"), steps=one("steps"))
    one.parameter("steps", made, "steps")
    return (made.link,)
