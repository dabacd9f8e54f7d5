"""Prompts: TextEncode, and what else a model is told: Framing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from weft.engine import INJECTED, Context, Range, node
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.prompts import Reading
from weft.nodes.values import Conditioning, F, Prompt, TextEncoder

if TYPE_CHECKING:
    from weft.nodes.prompting.prompt_encoder import PromptEncoder


@node(category="conditioning", lane="gpu", version=3)
def TextEncode(
    text_encoder: TextEncoder[F],
    text: str,
    *,
    weights: bool = True,
    clip_skip: Annotated[int, Range(0, 32)] = 0,
    context: Context = INJECTED,
) -> Conditioning[F]:
    """Turn a prompt into what a model is guided by.

    CLIP reads 75 tokens at a time: a longer text is read in chunks, and the denoiser reads them all in a row; where it
    reads a vector of the prompt too, that is the first chunk's. T5 reads a text whole, and what is longer than 512
    tokens is cut there. SD 3 is told 256 of T5's tokens with their padding, 512 where the text is longer, each
    prompt by its own length; diffusers has one length for both, so a short negative prompt beside a long one, which is
    told more padding there, paints a little otherwise. A model of classes reads the name or the number of one, as it
    stands.

    Parentheses weigh words: `(words)` 1.1, `(words:1.2)` 1.2, and one within the other multiply, up to 100. By so much
    is what the model reads of the prompt moved away from what it reads of it without these words: 0 is as if they were
    not there, below 1 they count less, above it more. `\\(`, `\\)` and `\\\\` are the characters, and so is a
    parenthesis without its partner.

    Args:
        text_encoder: from LoadCheckpoint or LoadTextEncoder; by way of LoadEmbedding where words stand for embeddings.
        text: the prompt; empty is a prompt too, the usual negative one.
        weights: whether parentheses weigh words; without, the text is read as it stands.
        clip_skip: layers of CLIP that are left out at its end, beside the one that SDXL and SD 3 leave out anyway;
            some SD 1.x models were trained with 1. It changes nothing of T5, nor of vectors, and so not FLUX.1.
    """
    with _held(text_encoder, context) as encoder:
        encoded = encoder.encode([text], Reading(weights, clip_skip))
    prompt = Prompt(
        encoded.embeddings, text_encoder.plain, pooled=encoded.pooled, attention_mask=encoded.attention_mask
    )
    return Conditioning((prompt,))


@contextmanager
def _held(text_encoder: TextEncoder[F], context: Context) -> Iterator[PromptEncoder]:
    """What reads prompts, with its embeddings; its text models are those that are held without these, as they are."""
    with ExitStack() as held:
        encoder = held.enter_context(context.weights(text_encoder.plain, PromptEncoder))
        words = {one.word: held.enter_context(context.weights(one, dict)) for one in text_encoder.embeddings}
        yield encoder.knowing(words)


Pixels = Annotated[int, Range(0, 2**30)]


@node(category="conditioning", lane="cpu")
def Framing(
    prompt: Conditioning[F], *, width: Pixels, height: Pixels, left: Pixels = 0, top: Pixels = 0
) -> Conditioning[F]:
    """Tell SDXL from what original the picture is to look cut out; without this, from one of its own size.

    SDXL was trained with the sizes and crops of its pictures (https://arxiv.org/abs/2307.01952, section 2.2): a small
    original paints a coarse picture, a corner away from 0 a picture that is cut.

    Args:
        prompt: from TextEncode; the negative prompt is told by a node of its own.
        width: of the original, in pixels.
        height: of the original, in pixels.
        left: where the crop begins in it, in pixels.
        top: where the crop begins in it, in pixels.
    """
    framing = (height, width, top, left)
    return Conditioning(tuple(replace(one, framing=framing) for one in prompt.prompts))
