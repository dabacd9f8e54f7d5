"""Pictures set in motion without words: MotionGuide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from weft.engine import INJECTED, Context, InputError, NodeProblem, Range, Upstream, node
from weft.nodes.image_prompt_values import ImageEmbedding
from weft.nodes.library.latent import check_multiple
from weft.nodes.models.autoencoder import Autoencoder
from weft.nodes.sampling.clip_picture_checks import pictures_are_encoded
from weft.nodes.sampling.image_prompt_checks import encoder_of
from weft.nodes.sampling.model_links import model_behind
from weft.nodes.sampling.traits import AS_READ, GuideTraits, always
from weft.nodes.value_checks import pictures_for_clips
from weft.nodes.values import VAE, F, Guide, Image, Latent


def _is_read(guide: Upstream, sampler: Upstream) -> Iterator[NodeProblem]:
    """The model must be one that sets pictures in motion, and read the vector that the image encoder makes."""
    model = model_behind(sampler)
    reading = model.family.denoiser.reads_pictures(model.facts.network.config) if model else None
    if model and (reading is None or not reading.sets_in_motion):
        message = f"`{guide.call.id}` gives a picture to set in motion; {model}"
        yield NodeProblem("guide", message, "use ImageToVideoGuide, or Stable Video Diffusion", "unsupported-by-model")
    encoder = encoder_of(guide)
    if reading and encoder and encoder[1].vector != reading.token_width:
        message = (
            f"the image encoder of `{encoder[0].call.id}` makes vectors of {encoder[1].vector} channels, and the model "
            f"reads {reading.token_width}"
        )
        yield NodeProblem("guide", message, "load the image encoder of the model's own folder", "wrong-channels")


@node(
    category="video",
    lane="gpu",
    fits=pictures_are_encoded,
    traits=(GuideTraits(AS_READ, check_sampler=_is_read, for_items=always("image")),),
)
def MotionGuide(
    guide: Guide[F],
    vae: VAE[F],
    latent: Latent[F],
    image: Image,
    embedding: ImageEmbedding,
    *,
    rate: Annotated[int, Range(1, 30)] = 7,
    motion: Annotated[int, Range(0, 1023)] = 127,
    noise: Annotated[float, Range(0.0, 10.0)] = 0.02,
    first_scale: Annotated[float, Range(0.0, 100.0)] = 1.0,
    seed: Annotated[int, Range(0, 2**64 - 1)] = 0,
    context: Context = INJECTED,
) -> Guide[F]:
    """Give Stable Video Diffusion the picture that it sets in motion (https://arxiv.org/abs/2311.15127).

    It reads no words: prompts are empty. The scale of CFGGuide, 3 as a rule, is that of the last frame.

    Args:
        guide: from CFGGuide, of Stable Video Diffusion.
        vae: from LoadCheckpoint.
        latent: the size and the frames of the clip: that of the sampler (EmptyVideoLatent).
        image: the picture, as large as the clip: one for all clips of a batch, or one for each. Alpha is left out.
        embedding: from EncodeImage with `whole`, by the image encoder in the model's folder.
        rate: frames a second that the clip is to have; slower motion at higher rates.
        motion: how much moves; the `motion_bucket_id` of diffusers. Less than 127 is calmer.
        noise: the deviation of noise that is added to the picture; with more of it, more moves and less of it is kept.
        first_scale: the scale of guidance for the first frame, from which it rises to that of CFGGuide.
        seed: of this noise: item i of a batch uses seed + i.
    """
    import torch

    from weft.nodes.sampling.noise import draw_noise, generators_for

    pictures = pictures_for_clips(image.pixels, latent.width, latent.height, latent.batch_size)
    if embedding.count not in (1, latent.batch_size):
        raise InputError(
            f"{embedding.count} pictures were encoded for {latent.batch_size} clips",
            "encode one for all, or one for each",
            "batch-mismatch",
        )
    _, height, width, _ = pictures.shape
    drawn = draw_noise(generators_for([seed + item for item in range(latent.batch_size)]), (3, height, width), "cpu")
    # Half of it, since pixels are 0..1 here and -1..1 there.
    noisy = pictures + noise / 2 * drawn.movedim(1, -1)
    with context.weights(vae, Autoencoder) as autoencoder:
        check_multiple(image, autoencoder.factor)
        latents = torch.cat([autoencoder.encode_unscaled(picture[None]) for picture in noisy])
    extra = latents.unsqueeze(2).expand(-1, -1, latent.length or 1, -1, -1).contiguous()
    begun = guide.beginning(extra, None, embedding.vectors[:, None])
    numbers = (float(rate - 1), float(motion), noise)
    return replace(begun, clip_numbers=numbers, first_scale=first_scale, withheld=True)
