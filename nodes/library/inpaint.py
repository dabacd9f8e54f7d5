"""Models with a picture as extra input channels: InpaintGuide, EditGuide; and masks: ImageToMask."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from weft.engine import INJECTED, Context, InputError, Range, node
from weft.nodes.library.latent import check_multiple
from weft.nodes.models.autoencoder import Autoencoder
from weft.nodes.sampling.traits import GuideTraits
from weft.nodes.value_checks import check_mask_size
from weft.nodes.values import VAE, F, Guide, Image, Mask

Channel = Literal["brightness", "red", "green", "blue", "alpha"]


@node(category="mask", version=2, lane="cpu")
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


@node(category="guidance", lane="gpu", traits=(GuideTraits(extra_channels=5),))
def InpaintGuide(guide: Guide[F], vae: VAE[F], image: Image, mask: Mask, *, context: Context = INJECTED) -> Guide[F]:
    """Give an inpainting model the mask and the masked picture.

    Such a model has nine input channels: the latents, the mask, and the latents of the masked picture: the mean of the
    VAE's distribution, where diffusers draws from it. Its pixels under the mask are grey (0.5), as in diffusers.

    Args:
        guide: from CFGGuide, of an inpainting model.
        vae: from LoadCheckpoint.
        image: the picture; its sides must be multiples of the VAE's factor (8). Alpha is left out.
        mask: of the picture's size; 0.5 and more is repainted.
    """
    import torch

    batch, height, width, _ = image.pixels.shape
    check_mask_size(mask.coverage, width, height, batch)
    marked = (mask.coverage >= 0.5).float()[..., None]
    grey = 0.5 * marked + image.pixels[..., :3] * (1 - marked)
    with context.weights(vae, Autoencoder) as autoencoder:
        check_multiple(image, autoencoder.factor)
        latents = torch.cat([autoencoder.encode_masked(picture[None]) for picture in grey])
        small = torch.nn.functional.interpolate(marked.permute(0, 3, 1, 2), latents.shape[2:])
    return replace(guide, beside=torch.cat([small.expand(len(latents), -1, -1, -1), latents], dim=1))


@node(category="guidance", lane="gpu", traits=(GuideTraits(extra_channels=4),))
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
