"""Models that read a picture besides latents, each by a guide: inpainting, editing, control; and masks: ImageToMask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from weft.engine import ADDED_LATER, INJECTED, Context, InputError, NodeProblem, Range, Upstream, node
from weft.nodes.families import family
from weft.nodes.families.flows import PATCH
from weft.nodes.library.latent import check_multiple
from weft.nodes.models.autoencoder import Autoencoder
from weft.nodes.sampling.compatibility import references_fit
from weft.nodes.sampling.model_links import model_behind
from weft.nodes.sampling.size_checks import image_fits_vae, one_or_each, picture_is_as_large, sizes_match
from weft.nodes.sampling.traits import GuideTraits, always
from weft.nodes.sizes import SizeTraits, same_size, size_above
from weft.nodes.value_checks import check_mask_size
from weft.nodes.values import VAE, F, Guide, Image, Latent, Mask

if TYPE_CHECKING:
    from torch import Tensor

Places = Literal["numbered", "diagonal"]
"""Where pictures to refer to lie, seen from the one that is painted."""

Channel = Literal["brightness", "red", "green", "blue", "alpha"]


@node(category="mask", version=2, lane="cpu", traits=(SizeTraits(same_size, of="image"),))
def ImageToMask(image: Image, *, channel: Channel = "brightness", invert: bool = False) -> Mask:
    """Make a mask from a channel of a picture: 1 where it is full, 0 where it is empty.

    Args:
        image: needs a fourth channel for `alpha`.
        channel: `brightness` weights red, green and blue as ITU-R BT.601.
        invert: make the mask 1 where the channel is empty.
    """
    import torch

    if channel == "alpha" and image.pixels.shape[-1] < 4:
        raise InputError(
            "the picture has no alpha", "choose another channel, or load a picture with transparency", "no-alpha"
        )
    if channel == "brightness":
        coverage = image.pixels[..., :3] @ torch.tensor([0.299, 0.587, 0.114], dtype=torch.float32)
    else:
        coverage = image.pixels[..., ("red", "green", "blue", "alpha").index(channel)].clone()
    coverage = coverage.clamp(0, 1)
    return Mask(1 - coverage if invert else coverage)


def _inpainting_fits(guide: Upstream) -> Iterator[NodeProblem]:
    """The VAE must encode pictures of this size, and the mask must be of the picture's."""
    yield from image_fits_vae(guide)
    yield from sizes_match(guide, "mask", "image")
    yield from one_or_each(guide, "mask", "image")


@node(
    category="guidance",
    lane="gpu",
    fits=_inpainting_fits,
    traits=(GuideTraits((5, 80), check_sampler=picture_is_as_large, for_items=always("image")),),
)
def InpaintGuide(
    guide: Guide[F],
    vae: VAE[F],
    image: Image,
    mask: Mask,
    *,
    sample: Annotated[bool, ADDED_LATER] = False,
    context: Context = INJECTED,
) -> Guide[F]:
    """Give an inpainting model the mask and the masked picture.

    Such a model reads more channels than those of its latents: the latents of the masked picture, and the mask, one
    value for each latent element (SD 1.x, SD 2.x, SDXL: nine channels) or for each pixel (FLUX.1 Fill). Pixels under
    the mask are grey (0.5), as in diffusers. For FLUX.1 Fill a `scale` of 30 is usual. Other models paint under a mask
    by SetNoiseMask.

    Args:
        guide: from CFGGuide, of an inpainting model.
        vae: from LoadCheckpoint.
        image: the picture; its sides must be multiples of the VAE's factor (8; 16 for FLUX.1). Alpha is left out.
        mask: of the picture's size; 0.5 and more is repainted.
        sample: whether samplers draw the latents of the masked picture from the VAE's distribution, after the noise and
            by the same generators, as diffusers' pipelines do; else they are its mean.
    """
    import torch

    batch, height, width, _ = image.pixels.shape
    check_mask_size(mask.coverage, width, height, batch)
    marked = (mask.coverage >= 0.5).float()[..., None]
    grey = 0.5 * marked + image.pixels[..., :3] * (1 - marked)
    with context.weights(vae, Autoencoder) as autoencoder:
        check_multiple(image, autoencoder.factor)
        items = [autoencoder.masked_distribution(picture[None]) for picture in grey]
        latents = torch.cat([one.mean for one in items])
        joined = family(vae.family).denoiser.masked_channels(marked.movedim(-1, 1), latents, autoencoder.factor)
    deviations = [one.deviation for one in items if sample and one.deviation is not None]
    return replace(guide, beside=joined, picture_deviation=torch.cat(deviations) if deviations else None)


def _edits_fit(guide: Upstream, sampler: Upstream) -> Iterator[NodeProblem]:
    """A model that makes a map of a picture edits none."""
    yield from picture_is_as_large(guide, sampler)
    model = model_behind(sampler)
    if model and model.family.denoiser.maps_pictures:
        message = f"`{guide.call.id}` is for models that edit pictures; {model}"
        yield NodeProblem("guide", message, "use DensePredictionGuide", "wrong-guide")


@node(
    category="guidance",
    lane="gpu",
    fits=image_fits_vae,
    traits=(GuideTraits(4, edits=True, check_sampler=_edits_fit, for_items=always("image")),),
)
def EditGuide(
    guide: Guide[F],
    vae: VAE[F],
    image: Image,
    *,
    image_scale: Annotated[float, Range(0.0, 100.0)] = 1.5,
    context: Context = INJECTED,
) -> Guide[F]:
    """Give an InstructPix2Pix model the picture to edit (https://arxiv.org/abs/2211.09800, eq. 3).

    Guidance has two scales: that of CFGGuide for the prompt, and `image_scale` for the picture.

    Args:
        guide: from CFGGuide, of an InstructPix2Pix model.
        vae: from LoadCheckpoint.
        image: the picture; its sides must be multiples of the VAE's factor (8). Alpha is left out.
        image_scale: the guidance scale of the picture; more stays closer to it.
    """
    import torch

    with context.weights(vae, Autoencoder) as autoencoder:
        check_multiple(image, autoencoder.factor)
        latents = [autoencoder.encode_unscaled(picture[None, ..., :3]) for picture in image.pixels]
    return replace(guide, beside=torch.cat(latents), image_scale=image_scale)


def _maps_fit(guide: Upstream, sampler: Upstream) -> Iterator[NodeProblem]:
    """The model must make maps of pictures, which takes it one step."""
    latent, size = size_above(guide, "latent"), size_above(sampler, "latent")
    if latent and size and latent != size:
        message = f"the latents of `{guide.call.id}` are for {latent}, and those that are sampled for {size}"
        yield NodeProblem("guide", message, "take the size of the picture (ImageSize)", "size-mismatch")
    model = model_behind(sampler)
    if model and not model.family.denoiser.maps_pictures:
        message = f"`{guide.call.id}` is for models that make maps of pictures (Lotus); {model}"
        yield NodeProblem("guide", message, "use EditGuide or ControlGuide", "wrong-guide")
    elif model and sampler.literals.get("sigmas", "linked") is None and sampler.literals.get("steps", 1) != 1:
        message = f"the model of `{model.node}` makes its map in one step, and the run has {sampler.literals['steps']}"
        yield NodeProblem("steps", message, "set `steps` to 1", "out-of-range")


@node(category="guidance", lane="cpu", traits=(GuideTraits(4, check_sampler=_maps_fit),))
def DensePredictionGuide(guide: Guide[F], latent: Latent[F]) -> Guide[F]:
    """Give a model of dense prediction the picture that it is to make a map of, such as its depth or its normals.

    These models are Lotus-D and Lotus-G (https://arxiv.org/abs/2409.18124), which take one step (`steps` 1) without
    guidance (`scale` 1) and read the empty prompt. Lotus-D makes the same map whatever the noise, Lotus-G another one
    for each seed. Depth is dark where it is near.

    Args:
        guide: from CFGGuide, of a model of Lotus.
        latent: of the picture, from VAEEncode; one for the whole batch, or one for each item. Its mask is left out.
    """
    if latent.samples is None:
        hint = "encode a picture (VAEEncode)"
        raise InputError("the latents are empty, and there is nothing to make a map of", hint, "empty-latent")
    return replace(guide, beside=latent.samples)


def _tokens_fit(guide: Upstream) -> Iterator[NodeProblem]:
    """The picture must be a whole number of the model's tokens."""
    yield from image_fits_vae(guide, PATCH)


@node(
    category="guidance",
    lane="gpu",
    fits=_tokens_fit,
    traits=(GuideTraits(16, check_sampler=picture_is_as_large, for_items=always("image")),),
)
def ControlGuide(guide: Guide[F], vae: VAE[F], image: Image, *, context: Context = INJECTED) -> Guide[F]:
    """Give a model for control pictures the picture to follow (FLUX.1 Canny, FLUX.1 Depth).

    Such a model reads the latents of edges or of depth in addition to its own, in every step and at full strength. For
    models that read latents alone, a ControlNet does the like (ApplyControlNet).

    Args:
        guide: from CFGGuide, of a model for control pictures; a `scale` of 30 is usual for edges, 10 for depth.
        vae: from LoadCheckpoint.
        image: the edges or the depth, as the model was trained with; its sides must be multiples of 16, and those of
            the latents. Alpha is left out.
    """
    return replace(guide, beside=_encoded(vae, image, context))


@node(
    category="guidance",
    lane="gpu",
    fits=_tokens_fit,
    traits=(GuideTraits(check_sampler=references_fit, for_items=always("image")),),
)
def ReferenceGuide(
    guide: Guide[F],
    vae: VAE[F],
    image: Image,
    *,
    clean: Annotated[bool, ADDED_LATER] = False,
    places: Annotated[Places, ADDED_LATER] = "numbered",
    context: Context = INJECTED,
) -> Guide[F]:
    """Give a model that edits by instruction the picture to refer to.

    These models are FLUX.1 Kontext (https://arxiv.org/abs/2506.15742) and Qwen-Image-Edit
    (https://arxiv.org/abs/2508.02324), and Qwen-Image-Layered, which divides the picture into layers.
    The picture's latents become tokens that follow those of the picture that is painted; both may differ in size. The
    prompt says what to change. Several of these nodes in a row give several pictures, which Qwen-Image-Edit reads from
    version 2509 on. FLUX.1 dev and Qwen-Image cannot be distinguished from the models that edit by their files, and
    make nothing of it.

    Args:
        guide: from CFGGuide, of FLUX.1 Kontext, with a `scale` of 2.5 as a rule, or of Qwen-Image-Edit, whose prompts
            are from EncodeEditPrompt.
        vae: from LoadCheckpoint.
        image: the picture, one for the whole batch, or one for each item; its sides must be multiples of 16. The models
            were trained with about 1024 x 1024 pixels: scale others before. Alpha is left out, but for
            Qwen-Image-Layered.
        clean: whether the transformer reads that the picture has no noise, as Qwen-Image-Edit from version 2511 on was
            trained. A diffusers folder says it itself; set it for a file of that version alone.
        places: where the picture lies for FLUX.1: `numbered` is beneath the one that is painted, as for Kontext;
            `diagonal` goes on behind its last row and column, as UNO (https://arxiv.org/abs/2504.02160, section 3.2)
            and USO were trained.
    """
    return _referring(guide, _encoded(vae, image, context), clean, places)


@node(category="guidance", lane="cpu", traits=(GuideTraits(check_sampler=references_fit),))
def ReferenceLatentGuide(
    guide: Guide[F], latent: Latent[F], *, clean: bool = False, places: Annotated[Places, ADDED_LATER] = "numbered"
) -> Guide[F]:
    """Give a model that edits by instruction latents to refer to, as ReferenceGuide does with a picture.

    Args:
        guide: as for ReferenceGuide.
        latent: of the picture, from VAEEncode; its sides must be multiples of 16 pixels. Its mask is left out.
        clean: as for ReferenceGuide.
        places: as for ReferenceGuide.
    """
    samples = latent.samples
    if samples is None:
        hint = "encode a picture (VAEEncode)"
        raise InputError("the latents are empty, and there is nothing to refer to", hint, "empty-latent")
    height, width = samples.shape[-2:]
    if height % PATCH or width % PATCH:
        message = f"the latents have {width} x {height} elements, and the model reads blocks of {PATCH} x {PATCH}"
        raise InputError(message, "scale the picture to multiples of 16 pixels before it is encoded", "wrong-size")
    return _referring(guide, samples, clean, places)


def _encoded(vae: VAE[F], image: Image, context: Context) -> Tensor:
    """The latents of pictures, whose sides must be a whole number of the model's tokens."""
    import torch

    with context.weights(vae, Autoencoder) as autoencoder:
        check_multiple(image, autoencoder.factor * PATCH)
        return torch.cat([autoencoder.encode(autoencoder.taken(picture[None])) for picture in image.pixels])


def _referring(guide: Guide[F], latents: Tensor, clean: bool, places: Places) -> Guide[F]:
    """A guide with one more picture to refer to.

    Raises:
        InputError: where the others have places of another kind.
    """
    diagonal = places == "diagonal"
    if guide.references and diagonal != guide.diagonal_references:
        message = f"`places` is `{places}`, and the pictures before this one have others"
        raise InputError(message, "give all pictures to refer to the same `places`", "conflicting-inputs")
    return guide.referring(latents, clean, diagonal)
