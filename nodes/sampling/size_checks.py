"""Checks of sizes before a run: pictures that a VAE encodes, masks of pictures. They follow `weft.nodes.sizes`."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine import InputError, NodeProblem, Upstream
from weft.nodes.models.facts import CheckpointFacts, VAEFacts
from weft.nodes.sizes import Size, size_above
from weft.nodes.values import VAE


def check_sides(size: Size, factor: int) -> None:
    """Raise `InputError` where the sides of a picture are not multiples of a VAE's factor."""
    if size.width % factor or size.height % factor:
        nearest = f"{max(size.width // factor, 1) * factor} x {max(size.height // factor, 1) * factor}"
        raise InputError(
            f"the picture has {size} pixels, and its sides must be multiples of {factor}",
            f"put CropImage or ScaleImage with `multiple` {factor} before it, for {nearest}",
            "wrong-size",
        )


def image_fits_vae(node: Upstream, patch: int = 1) -> Iterator[NodeProblem]:
    """The sides of the picture at `image` must be multiples of the factor of the VAE.

    Args:
        patch: latent elements along each side of what the model reads as one.
    """
    size, factor = size_above(node, "image"), vae_factor(node)
    if size and factor:
        try:
            check_sides(size, factor * patch)
        except InputError as fault:
            yield NodeProblem.of(fault, "image")


def picture_is_as_large(guide: Upstream, sampler: Upstream) -> Iterator[NodeProblem]:
    """The picture of a guide, which the network sees next to its latents, must be as large as what is sampled."""
    picture, size = size_above(guide, "image"), size_above(sampler, "latent")
    if picture and size and picture != size:
        message = f"the picture of `{guide.call.id}` is {picture}, and the latents are for {size}"
        yield NodeProblem("guide", message, "start from the same picture, or scale one of them", "size-mismatch")


def vae_factor(node: Upstream) -> int | None:
    """The factor of the VAE that a node takes, as headers say it; None where they are not known."""
    loader = node.above_by_type(VAE)
    while loader and loader.source("source") is None:
        loader = loader.above_by_type(VAE)
    source = loader.source("source") if loader else None
    facts = source.facts if source else None
    vae = facts.vae if isinstance(facts, CheckpointFacts) else facts
    return vae.factor if isinstance(vae, VAEFacts) else None


def sizes_match(node: Upstream, input: str, other: str) -> Iterator[NodeProblem]:
    """What arrives at an input must be of the size of what arrives at another one."""
    found, wanted = size_above(node, input), size_above(node, other)
    if found and wanted and found != wanted:
        message = f"it is {found}, and `{other}` is {wanted}: they must be of one size"
        yield NodeProblem(input, message, "put ScaleImage or CropImage before one of them", "size-mismatch")
