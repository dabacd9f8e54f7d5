"""How prompts guide a model: CFGGuide."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from weft.engine import INJECTED, Context, Range, node
from weft.nodes.values import Conditioning, F, Guide, Model


@node(category="guidance", lane="gpu")
def CFGGuide(
    model: Model[F],
    positive: Conditioning[F],
    negative: Conditioning[F] | None = None,
    *,
    scale: Annotated[float, Range(0.0, 100.0)] = 7.5,
    context: Context = INJECTED,
) -> Guide[F]:
    """Guide a model by prompts: classifier-free guidance (https://arxiv.org/abs/2207.12598).

    A prediction is negative + scale x (positive - negative), both computed in one batch. At scale 1 that is the
    positive prediction, and the negative prompt is not computed.

    Args:
        model: from LoadCheckpoint.
        positive: what the picture is to show.
        negative: what it is not to show; left out, what the family has for none (the empty prompt, or zeros), under the
            controls of the positive one.
        scale: how strongly the prompts guide; 1 leaves the negative prompt out, more follows the positive one closer.
    """
    if scale == 1:
        return Guide(model, positive, None, scale)
    return Guide(model, positive, negative or _empty_prompt(positive, context), scale)


def _empty_prompt(positive: Conditioning[F], context: Context) -> Conditioning[F]:
    with context.weights(positive.encoder) as encoder:
        empty = encoder.unprompted()
    return replace(positive, embeddings=empty.embeddings, pooled=empty.pooled)
