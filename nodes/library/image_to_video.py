"""Clips that begin with a picture: ImageToVideoGuide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft.engine import INJECTED, Context, node
from weft.nodes.families import family
from weft.nodes.image_prompt_values import ImageEmbedding
from weft.nodes.library.latent import check_multiple
from weft.nodes.models.autoencoder import Autoencoder
from weft.nodes.sampling.clip_picture_checks import pictures_are_encoded, pictures_are_read
from weft.nodes.sampling.traits import AS_READ, GuideTraits, always
from weft.nodes.value_checks import pictures_for_clips
from weft.nodes.values import VAE, F, Guide, Image, Latent

if TYPE_CHECKING:
    from torch import Tensor


@node(
    category="video",
    lane="gpu",
    fits=pictures_are_encoded,
    traits=(GuideTraits(AS_READ, check_sampler=pictures_are_read, for_items=always("image", "last")),),
)
def ImageToVideoGuide(
    guide: Guide[F],
    vae: VAE[F],
    latent: Latent[F],
    image: Image,
    last: Image | None = None,
    embedding: ImageEmbedding | None = None,
    *,
    sample: bool = False,
    context: Context = INJECTED,
) -> Guide[F]:
    """Give a model for image to video the picture that the clip begins with, and perhaps the one that it ends with.

    Models for text alone refuse it. Pictures must be as large as the clip: scale and crop them before (ScaleImage,
    CropImage).

    Args:
        guide: from CFGGuide, of a model for image to video.
        vae: from LoadCheckpoint.
        latent: the size and the frames of the clip: that of the sampler (EmptyVideoLatent).
        image: the first frame; one picture for all clips of a batch, or one for each. Alpha is left out.
        last: the last frame, for models that read one (Wan 2.1 for first and last frames, Wan 2.2 A14B).
        embedding: from EncodeImage, of `image`, and of `last` too where it is given, in this order, for one clip after
            the other: for models that read pictures by an image encoder too (Wan 2.1, HunyuanVideo 1.5), which is in
            their folder.
        sample: whether samplers draw the latents of the first frame from the VAE's distribution, before the noise and
            by the same generators, as diffusers' pipelines of LTX-Video do; else they are its mean.
    """
    import torch

    frames = latent.length or 1
    firsts = _pictures(image, latent)
    lasts = _pictures(last, latent) if last else [None] * len(firsts)
    count = max(len(firsts), len(lasts))
    pairs = [(firsts[item % len(firsts)], lasts[item % len(lasts)]) for item in range(count)]
    with context.weights(vae, Autoencoder) as autoencoder:
        check_multiple(image, autoencoder.factor)
        denoiser = family(vae.family).denoiser
        found = [denoiser.encoded_pictures(autoencoder, first, end, frames) for first, end in pairs]

    def joined(name: str) -> Tensor | None:
        parts = [getattr(one, name) for one in found]
        return None if parts[0] is None else torch.cat(parts)

    tokens = None
    if embedding is not None:
        made = embedding.last if denoiser.reads_last_tokens else embedding.tokens
        tokens = _tokens(made, 2 if last else 1)
    deviation = joined("deviation") if sample else None
    return guide.beginning(joined("extra"), joined("first_frames"), tokens, deviation)


def _tokens(made: Tensor, pictures: int) -> Tensor:
    """The tokens of the pictures of each clip in a row `[clip, token, channel]`.

    Args:
        made: of each picture `[picture, token, channel]`.
        pictures: of each clip; where other numbers were encoded, they are all for each clip.
    """
    clips = len(made) // pictures if len(made) % pictures == 0 else 1
    return made.reshape(clips, -1, made.shape[-1])


def _pictures(image: Image, latent: Latent[Any]) -> list[Tensor]:
    """Pictures `[height, width, 3]`, one for all clips or one for each."""
    return [*pictures_for_clips(image.pixels, latent.width, latent.height, latent.batch_size)]
