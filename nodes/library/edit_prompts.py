"""Prompts of models that edit pictures by instruction, whose language model sees the pictures: EncodeEditPrompt."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine import INJECTED, Context, InputError, NodeProblem, Upstream, node
from weft.nodes.families import family
from weft.nodes.library.picture_lists import pictures_of
from weft.nodes.prompting.language_model import LanguageModel
from weft.nodes.prompting.language_sight import SightReader
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.sampling.model_links import checkpoint_facts, loader_above
from weft.nodes.values import Conditioning, F, Image, LanguageSight, Prompt, TextEncoder

NO_SIGHT_HINT = "use TextEncode, or the text encoder of Qwen-Image-Edit"
"""What to do where text encoders see no pictures."""


def _sees(encoder: Upstream) -> Iterator[NodeProblem]:
    """Only some language models see pictures."""
    loader = loader_above(encoder, TextEncoder)
    facts = checkpoint_facts(loader) if loader else None
    if facts and _language_model(facts.family) is None:
        message = f"the text encoders of {facts.family} read no pictures"
        yield NodeProblem("text_encoder", message, NO_SIGHT_HINT, "unsupported-by-model")


def _language_model(name: str) -> LanguageModel | None:
    """The text model of a family that sees pictures; None where it has none."""
    found = (one for one in family(name).texts if isinstance(one, LanguageModel) and one.pictures)
    return next(found, None)


@node(category="conditioning", lane="gpu", fits=_sees)
def EncodeEditPrompt(
    text_encoder: TextEncoder[F],
    text: str,
    images: Image | list[Image],
    *,
    numbered: bool = True,
    context: Context = INJECTED,
) -> Conditioning[F]:
    """Encode what is to be changed in pictures, for Qwen-Image-Edit (https://arxiv.org/abs/2508.02324, section 2.2).

    Qwen2.5-VL sees the pictures with the words, so that these can say `the cat in Picture 2`. The transformer gets
    their latents too, by a ReferenceGuide for each. Parentheses weight no words.

    Args:
        text_encoder: that of Qwen-Image-Edit, with its part for pictures.
        text: the instruction, such as `make the sky red`; it may be empty, as for the negative prompt.
        images: the pictures, in order; each item of a batch is one. About 384 x 384 pixels each for versions from 2509
            on (ScaleImageToPixels with 0.14 megapixels), and a megapixel for the first version. Alpha is left out.
        numbered: whether a number stands in front of each, as versions from 2509 on were trained; not for the first.
    """
    model = _language_model(text_encoder.family)
    if model is None or model.pictures is None:
        message = f"the text encoders of {text_encoder.family} read no pictures"
        raise InputError(message, NO_SIGHT_HINT, "unsupported-by-model")
    source = dict(text_encoder.files).get(model.name, text_encoder.source)
    sight = LanguageSight[F](source, text_encoder.family, text_encoder.variant, text_encoder.dtype)
    with context.weights(sight, SightReader) as reader:
        seen = reader.read(pictures_of(images))
    del reader  # would keep its weights in memory where they were evicted for the next ones
    with context.weights(text_encoder, PromptEncoder) as encoder:
        encoded = encoder.encode_with_pictures(text, seen, model.pictures, numbered)
    return Conditioning((Prompt(encoded.embeddings, text_encoder.without_words),))
