"""Layers of a picture, by Qwen-Image-Layered: EmptyLayeredLatent and SplitLayers."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from weft.engine import InputError, Range, node
from weft.nodes.library.latent import Side
from weft.nodes.library.latent_parts import have_samples, samples_of
from weft.nodes.sampling.traits import LatentTraits
from weft.nodes.sizes import SizeTraits, check_frames, frames_of, literal_size, same_size
from weft.nodes.values import F, Latent

MOST_LAYERS = 64


@node(
    category="latent",
    lane="cpu",
    check=partial(check_frames, "layers", 1),
    traits=(LatentTraits(empty=True, clip=True), SizeTraits(literal_size, batch=partial(frames_of, "layers", 1))),
)
def EmptyLayeredLatent(
    width: Side = 640,
    height: Side = 640,
    layers: Annotated[int, Range(1, MOST_LAYERS)] = 4,
    batch_size: Annotated[int, Range(1, 2**30)] = 1,
) -> Latent[Any]:
    """Latents of the size of a picture and its layers without samples, for Qwen-Image-Layered to start from noise.

    They have a frame for the picture as a whole and one for each layer. ReferenceGuide gives the model the picture.

    Args:
        width: of the picture, in pixels; about 640 x 640 suit the model best, 1024 x 1024 are possible.
        height: in pixels.
        layers: that the picture is divided into, from the background to what is in front.
        batch_size: how many times it is divided.
    """
    return Latent(width, height, batch_size, length=layers + 1)


@node(category="latent", fits=have_samples, traits=(SizeTraits(same_size, of="latent"),))
def SplitLayers(latent: Latent[F], *, whole: bool = False) -> Latent[F]:
    """The layers of a picture as a batch of latents, from the background to what is in front.

    VAEDecode with the VAE of Qwen-Image-Layered makes pictures with alpha of them, each by itself.

    Args:
        latent: from KSampler, with a frame for the picture and one for each layer. The layers of several pictures come
            one picture after the other.
        whole: whether the picture as a whole comes before its layers.
    """
    samples = samples_of(latent)
    if samples.ndim != 5 or samples.shape[2] < 2:
        hint = "sample it from EmptyLayeredLatent, with Qwen-Image-Layered"
        raise InputError("the latents have no layers", hint, "wrong-latent")
    frames = samples if whole else samples[:, :, 1:]
    items = frames.transpose(1, 2).flatten(0, 1).contiguous()
    return Latent(latent.width, latent.height, len(items), items)
