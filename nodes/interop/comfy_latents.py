"""ComfyUI's latents: empty ones, VAEs, sizes, batches, masks."""

from __future__ import annotations

from typing import Any

from weft.nodes.interop.entries import UnmappableError
from weft.nodes.interop.writing import Made, MappedNode, maps


@maps("EmptyLatentImage", "EmptySD3LatentImage", "EmptyFlux2LatentImage")
def _empty(one: MappedNode) -> tuple[Any, ...]:
    batch = one("batch_size")
    made = one.add("EmptyLatent", width=one("width"), height=one("height"), batch_size=None if batch == 1 else batch)
    for name in ("width", "height"):
        one.parameter(name, made, name, "of the picture, in pixels")
    return (made.link,)


@maps("VAEDecode")
def _decoded(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("VAEDecode", vae=one.link("vae"), latent=one.link("samples")).link,)


@maps("VAEDecodeTiled")
def _decoded_in_tiles(one: MappedNode) -> tuple[Any, ...]:
    tile = max(int(one.literal("tile_size")) // 64, 1) * 64
    return (one.add("VAEDecode", vae=one.link("vae"), latent=one.link("samples"), tile=tile).link,)


@maps("VAEEncode", "VAEEncodeTiled")
def _encoded(one: MappedNode) -> tuple[Any, ...]:
    """The mean of the VAE's distribution: nothing is drawn from it (Comfy-Org/ComfyUI, pull request 8705)."""
    tile = max(int(one.literal("tile_size")) // 64, 1) * 64 if one.has("tile_size") else None
    return (one.add("VAEEncode", vae=one.link("vae"), image=one.link("pixels"), tile=tile).link,)


@maps("SetLatentNoiseMask")
def _masked(one: MappedNode) -> tuple[Any, ...]:
    return (one.soft_mask(latent=one.link("samples"), mask=one.link("mask")).link,)


@maps("RepeatLatentBatch")
def _repeated(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("RepeatLatent", latent=one.link("samples"), times=one("amount")).link,)


@maps("LatentFromBatch")
def _taken(one: MappedNode) -> tuple[Any, ...]:
    return (one.add("TakeLatents", latent=one.link("samples"), first=one("batch_index"), count=one("length")).link,)


METHODS = {
    "bilinear": "bilinear_aliased",
    "nearest-exact": "nearest",
    "bicubic": "bicubic_aliased",
    "area": "area",
}


def _scaled(one: MappedNode, **size: Any) -> Made:
    method = METHODS.get(str(one.literal("upscale_method")))
    if method is None:
        raise UnmappableError(f"latents are not scaled by `{one.literal('upscale_method')}` here")
    return one.add("ScaleLatent", latent=one.link("samples"), method=method, **size)


@maps("LatentUpscale")
def _scaled_to(one: MappedNode) -> tuple[Any, ...]:
    if one.literal("crop", "disabled") != "disabled":
        raise UnmappableError("`crop` is `center`, which ScaleLatent does not do")
    return (_scaled(one, width=one("width") or None, height=one("height") or None).link,)


@maps("LatentUpscaleBy")
def _scaled_by(one: MappedNode) -> tuple[Any, ...]:
    return (_scaled(one, factor=float(one.literal("scale_by"))).link,)


@maps("LatentComposite")
def _composed(one: MappedNode) -> tuple[Any, ...]:
    made = one.add(
        "CompositeLatents",
        background=one.link("samples_to"),
        overlay=one.link("samples_from"),
        x=one("x") or None,
        y=one("y") or None,
        feather=one("feather") or None,
    )
    return (made.link,)
