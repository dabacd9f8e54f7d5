"""The vector of a picture as an input of the denoiser: ApplyUnCLIP, ApplyReVision."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from weft.engine import ADDED_LATER, INJECTED, Context, InputError, Range, node
from weft.nodes.image_prompt_values import ImageEmbedding, UnCLIP
from weft.nodes.library.image_prompts import Pictured
from weft.nodes.models.unclip import ImageNoise
from weft.nodes.sampling.loader_checks import pooled_vectors_fit
from weft.nodes.sampling.prompt_checks import unclip_fits
from weft.nodes.sampling.traits import PromptTraits, unlike_vectors
from weft.nodes.values import Conditioning, F, Model

if TYPE_CHECKING:
    from torch import Tensor

VectorMode = Literal["blend", "replace", "add"]
"""How the vector of pictures and that of a prompt are combined."""


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


@node(category="conditioning", lane="cpu", fits=pooled_vectors_fit)
def ApplyReVision(
    prompt: Conditioning[F],
    embedding: ImageEmbedding,
    *,
    strength: Annotated[float, Range(-10.0, 10.0)] = 1.0,
    mode: Annotated[VectorMode, ADDED_LATER] = "blend",
) -> Conditioning[F]:
    """Put the vectors of pictures in place of a prompt's pooled vector: what Stability calls ReVision, for SDXL.

    SDXL reads the pooled vector of OpenCLIP's ViT-bigG/14, whose image encoder makes vectors of the same kind. So no
    adapter is needed; concepts of the picture come through, not its composition. In diffusers it is an image embedding
    as `pooled_prompt_embeds`.

    Args:
        prompt: from TextEncode with SDXL's text encoder; an empty text leaves more to the picture.
        embedding: the pictures, from EncodeImage with ViT-bigG/14 (`h94/IP-Adapter/sdxl_models/image_encoder`). Of
            several the sum counts.
        strength: how far the pooled vector is moved from that of the words to that of the pictures; 1 replaces it.
        mode: how the vector of pictures and that of the prompt are combined. `blend` is as above; `replace` leaves out
            that of the words, and `add` adds to what is there, so that several nodes in a row sum pictures, each by
            its strength, as ComfyUI's unCLIPConditioning does.
    """
    import torch

    vector = embedding.vectors.sum(dim=0, keepdim=True)
    changed = []
    for one in prompt.prompts:
        if one.pooled is None or one.pooled.shape[-1] != vector.shape[-1]:
            width = 0 if one.pooled is None else one.pooled.shape[-1]
            raise unlike_vectors(width, vector.shape[-1])
        added, kept = strength * vector.expand_as(one.pooled), {"replace": 0.0, "add": 1.0}.get(mode)
        blended = torch.lerp(one.pooled, vector.expand_as(one.pooled), strength)
        changed.append(replace(one, pooled=blended if kept is None else kept * one.pooled + added))
    return Conditioning(tuple(changed))
