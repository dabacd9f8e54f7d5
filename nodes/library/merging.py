"""Merging: MergeModels, AddModels, and the same for text encoders and VAEs.

They return recipes with a change; weights are summed when a node uses them (`weft.nodes.models.weight_merging`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, TypeVar

from weft.engine import Range, node
from weft.nodes.models.network_blocks import read_blocks
from weft.nodes.models.weight_merging import MergedWeights, MergeStep, weight_patch
from weft.nodes.sampling.merge_checks import models_merge, texts_merge, vaes_merge
from weft.nodes.values import VAE, F, Model, TextEncoder, Weights

W = TypeVar("W", bound=Weights)

Share = Annotated[float, Range(-10.0, 10.0)]


def merged(weights: W, step: MergeStep) -> W:
    """Weights with one more sum; sums that follow each other are one change, which is rounded once.

    Raises:
        InputError: where the others have changes that are none of weights alone.
    """
    for change in (*step.other.changes, *(step.minus.changes if step.minus else ())):
        weight_patch(change)
    last = weights.changes[-1] if weights.changes else None
    steps = last.steps if isinstance(last, MergedWeights) else ()
    kept = weights.changes[:-1] if steps else weights.changes
    return replace(weights, changes=(*kept, MergedWeights((*steps, step))))


@node(category="merging", lane="cpu", fits=models_merge)
def MergeModels(model: Model[F], other: Model[F], *, ratio: Share = 0.5, blocks: str = "") -> Model[F]:
    """Mix the weights of two models: (1 - ratio) x model + ratio x other.

    Sums are computed in float32 and rounded once. The result keeps the scheduler of `model`. Both must be of one
    family and structure and predict the same. Several of these nodes in a row mix several models; only one is in
    memory. Where `model` is an inpainting model and `other` a plain one, the channels that only the first reads stay
    its own; so does the embedding of guidance of a distilled model.

    Args:
        model: the model to start from.
        other: the model that is mixed in; it may be merged itself, or have LoRAs.
        ratio: the share of `other`: 0 is `model`, 1 is `other`; start with 0.5. Outside of 0..1 it extrapolates.
        blocks: shares for single blocks, where they differ from `ratio`. Those of SD and SDXL as block-weighted merging
            has them: `IN00=0.2, IN01-IN05=0.5, M00=1, OUT=0`, or 25 numbers (SDXL: 19) from the first IN to the last
            OUT; `IN00` includes the embedding of the timestep, the last OUT the last convolution. Those of other
            networks by what diffusers' names of their modules begin with: `transformer_blocks.0-18=0.3`.
    """
    return merged(model, MergeStep(other, ratio, read_blocks(blocks), interpolates=True))


@node(category="merging", lane="cpu", fits=models_merge)
def AddModels(
    model: Model[F],
    other: Model[F],
    minus: Model[F] | None = None,
    *,
    strength: Share = 1.0,
    blocks: str = "",
) -> Model[F]:
    """Add the weights of a model, or what it has learned: model + strength x (other - minus).

    With `minus`, the model that `other` was trained from, this transfers what it learned to another model ("add
    difference"): an inpainting model of any style is an inpainting model, plus the style, minus what both began from.

    Args:
        model: the model to start from.
        other: the model that is added; it may be merged itself, or have LoRAs.
        minus: the model that is subtracted from it; left out, nothing is.
        strength: its factor; start with 1 where `minus` is given. Below 0 it subtracts.
        blocks: factors for single blocks, as for MergeModels.
    """
    return merged(model, MergeStep(other, strength, read_blocks(blocks), minus=minus))


@node(category="merging", lane="cpu", fits=texts_merge)
def MergeTextEncoders(
    text_encoder: TextEncoder[F], other: TextEncoder[F], *, ratio: Share = 0.5, blocks: str = ""
) -> TextEncoder[F]:
    """Mix the weights of two text encoders: (1 - ratio) x text_encoder + ratio x other.

    Tokenizers, and embeddings that were loaded, are those of `text_encoder`.

    Args:
        text_encoder: the text encoder to start from.
        other: the one that is mixed in, with the same text models.
        ratio: the share of `other`; start with that of the models (MergeModels).
        blocks: shares for parts, by the name of a text model and what names of its modules begin with:
            `clip_l=0.2`, `clip_g.text_model.encoder.layers.0-11=0.5`.
    """
    return merged(text_encoder, MergeStep(other, ratio, read_blocks(blocks), interpolates=True))


@node(category="merging", lane="cpu", fits=texts_merge)
def AddTextEncoders(
    text_encoder: TextEncoder[F],
    other: TextEncoder[F],
    minus: TextEncoder[F] | None = None,
    *,
    strength: Share = 1.0,
    blocks: str = "",
) -> TextEncoder[F]:
    """Add the weights of a text encoder, or what it has learned: text_encoder + strength x (other - minus).

    Args:
        text_encoder: the text encoder to start from.
        other: the one that is added, with the same text models.
        minus: the one that is subtracted from it; left out, nothing is.
        strength: its factor; start with that of the models (AddModels). Below 0 it subtracts.
        blocks: factors for parts, as for MergeTextEncoders.
    """
    return merged(text_encoder, MergeStep(other, strength, read_blocks(blocks), minus=minus))


@node(category="merging", lane="cpu", fits=vaes_merge)
def MergeVAEs(vae: VAE[F], other: VAE[F], *, ratio: Share = 0.5, blocks: str = "") -> VAE[F]:
    """Mix the weights of two VAEs: (1 - ratio) x vae + ratio x other.

    Args:
        vae: the VAE to start from, whose scale of latents stays.
        other: the one that is mixed in, of the same kind.
        ratio: the share of `other`; 0 is `vae`, 1 is `other`.
        blocks: shares for parts, by what names of its modules begin with: `decoder=0.5, encoder=0`.
    """
    return merged(vae, MergeStep(other, ratio, read_blocks(blocks), interpolates=True))
