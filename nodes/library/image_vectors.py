"""The vector of a picture as an input of the denoiser: ApplyUnCLIP."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from weft.engine import INJECTED, Context, InputError, Range, node
from weft.nodes.image_prompt_values import ImageEmbedding, UnCLIP
from weft.nodes.library.image_prompts import Pictured
from weft.nodes.models.unclip import ImageNoise
from weft.nodes.sampling.compatibility import unclip_fits
from weft.nodes.sampling.traits import PromptTraits
from weft.nodes.values import Conditioning, F, Model

if TYPE_CHECKING:
    from torch import Tensor


@node(category="conditioning", lane="cpu", fits=unclip_fits, traits=(PromptTraits(image_vector=True),))
def ApplyUnCLIP(
    model: Model[F],
    positive: Conditioning[F],
    negative: Conditioning[F] | None,
    embedding: ImageEmbedding,
    *,
    noise_level: Annotated[int, Range(0, 999)] = 0,
    seed: Annotated[int, Range(0, 2**64 - 1)] = 0,
    context: Context = INJECTED,
) -> Pictured[F]:
    """Give a Stable unCLIP model the picture to vary (https://arxiv.org/abs/2204.06125).

    Such a model, trained from SD 2.1, reads the vector of a picture besides the prompt. As in diffusers, the negative
    prompt gets zeros in place of the vector.

    Args:
        model: a Stable unCLIP checkpoint (`stabilityai/stable-diffusion-2-1-unclip`), from LoadCheckpoint: it has the
            mean and the deviation of vectors.
        positive: what the picture is to show; it may be empty words.
        negative: what it is not to show; null without a negative prompt.
        embedding: the picture, from EncodeImage with the model's image encoder (LoadImageEncoder takes its folder): one
            for all items of the batch, or one for each.
        noise_level: how much noise the vector gets: 0 varies the picture closely, 200 to 600 loosely, 999 leaves
            little of it.
        seed: of this noise: picture i uses seed + i, modulo 2^64.
    """
    recipe = UnCLIP(model.source, model.variant, "float32")
    with context.weights(recipe, ImageNoise) as noise:
        vector = noised(noise, embedding, noise_level, seed)
    return Pictured(_with(vector, positive), _with(vector * 0, negative) if negative else None)


def noised(noise: ImageNoise, embedding: ImageEmbedding, level: int, seed: int) -> Tensor:
    """The vectors of pictures with noise.

    Raises:
        InputError: for a level that the checkpoint has not, and vectors of another image encoder.
    """
    import torch

    from weft.nodes.sampling.noise import generators_for

    given, wanted = embedding.vectors.shape[-1], noise.mean.shape[-1]
    if given != wanted:
        raise InputError(
            f"the image encoder makes vectors of {given} channels, and the model was trained with those of {wanted}",
            "encode the picture with the model's own image encoder: LoadImageEncoder takes its folder",
            "wrong-channels",
        )
    if level >= noise.levels:
        raise InputError(f"the level is {level}, and the model has {noise.levels}", "give a lower one", "out-of-range")
    generators = generators_for([seed + picture for picture in range(embedding.count)])
    drawn = [torch.randn(1, given, generator=one, dtype=torch.float32) for one in generators]
    return noise.noised(embedding.vectors, level, torch.cat(drawn))


def _with(vector: Any, conditioning: Conditioning[F]) -> Conditioning[F]:
    return Conditioning(tuple(replace(one, image_vector=vector) for one in conditioning.prompts))
