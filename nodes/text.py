"""Prompts: TextEncode."""

from __future__ import annotations

from weft.engine import INJECTED, Context, node
from weft.nodes.values import Conditioning, F, TextEncoder


@node(category="conditioning", lane="gpu")
def TextEncode(text_encoder: TextEncoder[F], text: str, *, context: Context = INJECTED) -> Conditioning[F]:
    """Turn a prompt into what a model is guided by.

    SD 1.x reads 77 tokens, its start and its end token among them; what is longer is cut there.

    Args:
        text_encoder: from LoadCheckpoint.
        text: the prompt; empty is a prompt too, the usual negative one.
    """
    with context.weights(text_encoder) as encoder:
        encoded = encoder.encode([text])
    return Conditioning(encoded.embeddings, text_encoder, pooled=encoded.pooled)
