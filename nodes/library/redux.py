"""FLUX.1 Redux, which makes tokens of a prompt out of pictures: LoadRedux and ApplyRedux."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from weft.engine import INJECTED, Context, InputError, Range, node
from weft.nodes.families.flux import FLUX
from weft.nodes.families.image_prompt_sources import ReduxSource
from weft.nodes.image_prompt_values import ImageEmbedding, Redux
from weft.nodes.library.loaders import check_variant, variant_fits
from weft.nodes.models.network_calls import network_call
from weft.nodes.sampling.image_prompt_checks import redux_reads
from weft.nodes.values import Conditioning, F, Prompt

if TYPE_CHECKING:
    from torch import Tensor


@node(category="loaders", lane="io", settings=("precision",), fits=variant_fits)
def LoadRedux(source: Annotated[str, ReduxSource()], *, variant: str = "", context: Context = INJECTED) -> Redux:
    """Load FLUX.1 Redux, which makes tokens of a prompt out of encoded pictures.

    Args:
        source: the folder of its pipeline (`black-forest-labs/FLUX.1-Redux-dev`), that of its part `image_embedder`, or
            its file (`flux1-redux-dev.safetensors`). LoadImageEncoder takes the same folder for its image encoder.
        variant: the variant of the weights; left empty, the plain ones, or the only ones there are.
    """
    found = context.found(source)
    check_variant(found.resolved, variant)
    return Redux(str(found.digest), variant, context.part_precision(FLUX.precisions.model))


Share = Annotated[float, Range(-10.0, 10.0)]


@node(category="conditioning", lane="gpu", fits=redux_reads)
def ApplyRedux(
    prompt: Conditioning[F],
    redux: Redux,
    embedding: ImageEmbedding,
    *,
    strength: Share = 1.0,
    weights: Annotated[list[float] | None, Range(-10.0, 10.0)] = None,
    vector_weights: Annotated[list[float] | None, Range(-10.0, 10.0)] = None,
    with_text: bool = True,
    context: Context = INJECTED,
) -> Conditioning[F]:
    """Append pictures to a prompt of FLUX.1, by Redux: a variation of a picture, or a mixture of several.

    The tokens of the pictures stand after those of the words and outweigh them: the result follows the words where
    `strength` is small. As in diffusers' FluxPriorReduxPipeline, each picture is appended to the prompt, and the sum of
    these prompts is taken, by their weights.

    Args:
        prompt: from TextEncode, for a model of FLUX.1.
        redux: from LoadRedux.
        embedding: the pictures, from EncodeImage with Redux's own image encoder.
        strength: the factor of the tokens of pictures alone; 1 is a variation of the picture, 0.2 to 0.5 lets words
            change it.
        weights: of each picture with its words, in the mixture; left out, all have the same and their sum is 1. In
            diffusers it is `prompt_embeds_scale`, 1 for each where it is left out.
        vector_weights: the same for the pooled vector of the words: `pooled_prompt_embeds_scale` in diffusers.
        with_text: whether the words count; else zeros stand in their place, as in diffusers without text encoders.
    """
    with context.weights(redux) as network:
        first = next(network.parameters())
        given = embedding.last.to(first.device, first.dtype)
        with network_call("FLUX.1 Redux", {"picture": given}):
            tokens = strength * network(given).image_embeds.float().cpu()
    shares = _shares("weights", weights, embedding.count)
    vector_share = sum(_shares("vector_weights", vector_weights, embedding.count))
    return Conditioning(tuple(_appended(one, tokens, shares, vector_share, with_text) for one in prompt.prompts))


def _shares(name: str, given: list[float] | None, count: int) -> list[float]:
    """One weight for each picture."""
    if given is None:
        return [1 / count] * count
    if len(given) != count:
        raise InputError(
            f"`{name}` has {len(given)} numbers for {count} pictures", "give one for each picture", "batch-mismatch"
        )
    return given


def _appended(
    prompt: Prompt[F], tokens: Tensor, shares: list[float], vector_share: float, with_text: bool
) -> Prompt[F]:
    """The sum over pictures of a prompt with the tokens of one after its own, by their weights."""
    import torch

    words = prompt.embeddings * (sum(shares) if with_text else 0)
    if words.shape[-1] != tokens.shape[-1]:
        raise InputError(
            f"the prompt was encoded {words.shape[-1]} channels wide, and Redux makes {tokens.shape[-1]}",
            "encode it with the text encoder of FLUX.1",
            "wrong-channels",
        )
    mixed = torch.einsum("i,itc->tc", torch.tensor(shares, dtype=torch.float32), tokens)
    pooled = None if prompt.pooled is None else prompt.pooled * (vector_share if with_text else 0)
    embeddings = torch.cat([words, mixed.expand(len(words), -1, -1)], dim=1)
    return replace(prompt, embeddings=embeddings, pooled=pooled)
