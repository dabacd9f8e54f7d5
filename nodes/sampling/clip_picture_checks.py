"""Static checks of the pictures that a clip is to begin and end with, against the model that reads them. No torch."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine import InputError, NodeProblem, Upstream
from weft.nodes.image_prompt_values import ImageEmbedding
from weft.nodes.models.clip_pictures import check_begins, check_tokens
from weft.nodes.sampling.image_prompt_checks import encoder_of
from weft.nodes.sampling.model_links import model_behind
from weft.nodes.sampling.size_checks import image_fits_vae
from weft.nodes.sampling.traits import LatentTraits
from weft.nodes.sizes import size_above


def pictures_are_encoded(guide: Upstream) -> Iterator[NodeProblem]:
    """The pictures must be of the size of the clip, which is one that the VAE encodes."""
    yield from image_fits_vae(guide)
    clip = size_above(guide, "latent")
    for name in ("image", "last"):
        picture = size_above(guide, name)
        if picture and clip and picture != clip:
            message = f"the picture is {picture}, and the clip of `latent` is {clip}"
            yield NodeProblem(name, message, f"put ScaleImage before it, for {clip}", "size-mismatch")
    latent = guide.above("latent")
    traits = latent.call.type.trait(LatentTraits) if latent else None
    if traits and not traits.clip:
        hint = "link it to EmptyVideoLatent, which the sampler takes too"
        yield NodeProblem("latent", "the latent is one of pictures, expected one of a clip", hint, "wrong-latent")


def pictures_are_read(guide: Upstream, sampler: Upstream) -> Iterator[NodeProblem]:
    """The model must read the pictures as they are encoded, for a clip of the size that is sampled."""
    model = model_behind(sampler)
    if model is None:
        return
    reading = model.family.denoiser.reads_pictures(model.facts.network.config)
    encoder = encoder_of(guide)
    encoded = guide.above_by_type(ImageEmbedding) is not None or guide.call.inputs.get("embedding") is not None
    width = encoder[1].width if encoder else None if encoded else 0
    try:
        check_begins(reading, ends=guide.call.inputs.get("last") is not None)
        check_tokens(reading, width, None)
    except InputError as refusal:
        yield NodeProblem.of(refusal, "guide", after=f"; `{guide.call.id}`, and {model}")
    encoded_for, sampled = (size_above(node, "latent") for node in (guide, sampler))
    if encoded_for and sampled and encoded_for != sampled:
        message = f"`{guide.call.id}` encodes its picture for {encoded_for}, and the latents are for {sampled}"
        yield NodeProblem("guide", message, "link both to one latent", "size-mismatch")
