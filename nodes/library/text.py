"""Prompts: TextEncode, and SDXL's size conditioning: Framing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from weft.engine import (
    ADDED_LATER,
    INJECTED,
    Context,
    InputError,
    MemoryUse,
    NodeProblem,
    Range,
    Upstream,
    node,
)
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.prompts import Reading
from weft.nodes.sampling.loader_checks import length_fits, other_texts_fit
from weft.nodes.sampling.traits import PromptTraits
from weft.nodes.values import Conditioning, F, Prompt, TextEncoder

Weighting = Literal["without_words", "empty_prompt"]
"""What the weights of words move an embedding away from."""


def _fits(encoder: Upstream) -> Iterator[NodeProblem]:
    yield from length_fits(encoder)
    yield from other_texts_fit(encoder)


SHORT = 127
"""Characters of a text that takes as much memory as any shorter one."""


def _length_counts(literals: Mapping[str, Any]) -> dict[str, Any]:
    """The literals of a call with the lengths of its texts in place of these, in powers of two.

    Language models and the networks that read them compute as many tokens as a text has.
    """
    texts = {name: literals[name] or "" for name in ("text", "text_2", "text_3") if name in literals}
    return {**literals, **{name: max(len(text), SHORT).bit_length() for name, text in texts.items()}}


@node(category="conditioning", lane="gpu", version=3, fits=_fits, traits=(MemoryUse(_length_counts),))
def TextEncode(
    text_encoder: TextEncoder[F],
    text: str,
    *,
    weights: bool = True,
    clip_skip: Annotated[int, Range(0, 32)] = 0,
    max_sequence_length: Annotated[int | None, Range(1, 1024), ADDED_LATER] = None,
    weighting: Annotated[Weighting, ADDED_LATER] = "without_words",
    clip_layer: Annotated[int, Range(0, 32), ADDED_LATER] = 0,
    text_2: Annotated[str | None, ADDED_LATER] = None,
    text_3: Annotated[str | None, ADDED_LATER] = None,
    context: Context = INJECTED,
) -> Conditioning[F]:
    """Encode a prompt.

    CLIP reads 75 tokens at a time. A longer text is encoded in chunks, and the denoiser gets all chunks in a row; a
    pooled vector is that of the first chunk. T5 reads up to 512 tokens and cuts the rest. SD 3 gets T5's embeddings
    with padding to 256 tokens, or to 512 where the text is longer, for each prompt by its own length; FLUX.1 with
    padding to 512. diffusers' pipelines cut prompts at 77 tokens of CLIP's, and pad both to one length of T5's. A
    language model reads the prompt in the conversation that its family was trained with, up to 512 tokens without
    padding. A class-conditional model (DiT) takes the name or the number of a class as its text.

    Parentheses weight words: `(words)` by 1.1, `(words:1.2)` by 1.2; nested weights multiply, up to 100. The weight
    moves the embedding of the prompt away from its embedding without these words: at 0 it is as if they were left out,
    below 1 they count less, above 1 more. A language model pads nothing, so in place of the words stands the token
    that ends an empty prompt. `\\(`, `\\)` and `\\\\` are the plain characters, and so is an unmatched
    parenthesis.

    Args:
        text_encoder: from LoadCheckpoint, LoadTextEncoder or LoadEmbedding.
        text: the prompt; may be empty.
        weights: whether parentheses weight words; else they are read as characters.
        clip_skip: how many of CLIP's last layers are skipped, in addition to the one that SDXL and SD 3 always skip;
            some SD 1.x models were trained with 1. It holds for this prompt, in diffusers for the positive one alone.
            It does not change T5, language models or pooled vectors, and so not FLUX.1.
        max_sequence_length: tokens of T5's or of a language model's that the denoiser reads. T5 pads a shorter text
            to as many, and both cut a longer one. It is diffusers' argument of this name: 256 for FLUX.1-schnell. Give
            the negative prompt the same. Left out, it is as above.
        weighting: what weights move an embedding away from: `without_words` is as above; `empty_prompt` moves each
            token away from that of the empty prompt at its place, and of nested numbers the inner one counts alone, as
            in ComfyUI.
        clip_layer: which of CLIP's layers is read, counted from the last one of its file, as ComfyUI and A1111 count:
            1 is the last, 2 the one before. 0 is the family's own: 1 for SD 1.x, 2 for SDXL and SD 3. Give it or
            `clip_skip`.
        text_2: another text for the second text model: CLIP's large one of SDXL and SD 3, T5 of FLUX.1. In diffusers it
            is `prompt_2`. Left out, it reads `text`.
        text_3: another text for the third one, T5 of SD 3; `prompt_3` in diffusers.
    """
    if clip_skip and clip_layer:
        message = f"`clip_skip` is {clip_skip} and `clip_layer` {clip_layer}, expected one of them"
        raise InputError(message, "leave one at 0", "conflicting-inputs")
    others = (text_2, text_3) if text_3 is not None else (text_2,) if text_2 is not None else ()
    reading = Reading(weights, clip_skip, max_sequence_length, weighting == "empty_prompt", clip_layer, others)
    with context.weights(text_encoder, PromptEncoder) as encoder:
        encoded = encoder.encode([text], reading)
    prompt = Prompt(
        encoded.embeddings, text_encoder.without_words, pooled=encoded.pooled, attention_mask=encoded.attention_mask
    )
    return Conditioning((prompt,))


Pixels = Annotated[int, Range(0, 2**30)]


@node(category="conditioning", lane="cpu", traits=(PromptTraits(framing=True),))
def Framing(
    prompt: Conditioning[F], *, width: Pixels, height: Pixels, left: Pixels = 0, top: Pixels = 0
) -> Conditioning[F]:
    """Set SDXL's size conditioning: original size and crop (https://arxiv.org/abs/2307.01952, section 2.2).

    SDXL was trained with the original sizes and the crops of its pictures. A small original gives a coarse picture, a
    crop away from 0 a picture that looks cut off. Without this node both are those of the picture itself.

    Args:
        prompt: from TextEncode; the negative prompt needs a node of its own.
        width: of the original, in pixels.
        height: of the original, in pixels.
        left: of the crop in the original, in pixels.
        top: of the crop in the original, in pixels.
    """
    framing = (height, width, top, left)
    return Conditioning(tuple(replace(one, framing=framing) for one in prompt.prompts))
