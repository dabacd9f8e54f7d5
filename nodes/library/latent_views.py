"""What latents look like, without their VAE: LatentChannels."""

from __future__ import annotations

from weft.engine import INJECTED, Context, check_pixels, node
from weft.nodes.library.latent_parts import have_samples, planes, samples_of
from weft.nodes.values import Image, Latent


@node(category="latent", fits=have_samples)
def LatentChannels(latent: Latent, *, context: Context = INJECTED) -> Image:
    """The channels of latents as grey pictures, one after the other.

    Each goes from black, its least element, to white, its greatest.
    A picture has the size of the latents in elements; ImageGrid arranges them, ScaleImage enlarges them.

    Args:
        latent: each item of a batch and each frame of a clip gives a picture for each channel.
    """
    pictures = planes(samples_of(latent)).flatten(0, 1)
    count, high, wide = pictures.shape
    check_pixels(wide, high, count, context.limits)
    least, greatest = pictures.amin(dim=(1, 2), keepdim=True), pictures.amax(dim=(1, 2), keepdim=True)
    levels = (pictures - least) / (greatest - least).clamp(min=1e-12)
    return Image(levels[..., None].expand(-1, -1, -1, 3).contiguous())
