"""A text model with its tokenizer, as every kind of text model has it: tokens with weights in, embeddings out.

The kinds are in `weft.nodes.prompting.clip` and `weft.nodes.prompting.t5`. Importing this module imports no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from weft.nodes.prompting.embeddings import split_at_words
from weft.nodes.prompting.prompts import Weighted

if TYPE_CHECKING:
    from torch import Tensor


class Encoded(NamedTuple):
    """Encoded texts.

    Args:
        embeddings: `[text, token, channel]`.
        attention_mask: which tokens are read, 1 or 0, `[text, token]`; None is all of them.
        pooled: one vector for each text, `[text, channel]`; None where the text model or its family has none.
    """

    embeddings: Tensor
    attention_mask: Tensor | None = None
    pooled: Tensor | None = None


class Token(NamedTuple):
    """A token of a prompt.

    Args:
        number: its index in the vocabulary.
        weight: of the words that it belongs to.
        vector: its input embedding `[channel]`; None takes the text model's own for its number.
    """

    number: int
    weight: float
    vector: Tensor | None = None


Chunk = Sequence[Token]
"""Tokens that a text model reads in one forward pass, without start, end and padding tokens."""

Words = Mapping[str, Mapping[str, "Tensor"]]
"""Embeddings `[vector, channel]` by the word that they replace, then by the name of the text model."""

NO_WORDS: Words = MappingProxyType({})


class TextReader(ABC):
    """A text model with its tokenizer.

    Args:
        name: of the text model in its family, such as `clip_l`.
        network: the transformers model.
        tokenizer: the transformers tokenizer.
    """

    takes_embeddings = False
    """Whether words of a prompt can be replaced by embeddings."""

    def __init__(self, name: str, network: Any, tokenizer: Any) -> None:
        self.name = name
        self.network = network
        self.tokenizer = tokenizer

    def limited(self, longest: int) -> TextReader:
        """The same reader for texts of at most so many tokens; for a text model without such a limit itself."""
        return self

    @property
    def width(self) -> int:
        """Channels of a token."""
        return int(self.network.config.hidden_size)

    def accept_vectors(self) -> Callable[[], None]:
        """Let tokens have vectors of their own, if the text model takes them; gives the function that undoes it."""
        return lambda: None

    @abstractmethod
    def split(self, prompt: Weighted, words: Words = NO_WORDS) -> list[Chunk]:
        """The tokens of a prompt in chunks, at least one.

        Args:
            words: embeddings that replace words of the prompt.

        Raises:
            InputError: where the prompt is too long.
        """

    @abstractmethod
    def read(
        self,
        texts: Sequence[Sequence[Chunk]],
        count: int,
        layer: int | None = None,
        skip: int = 0,
        from_empty: bool = False,
    ) -> Encoded:
        """Encode texts, each given as its chunks; embeddings of the chunks follow each other along the token axis.

        Args:
            count: chunks of every text; missing ones are read as empty. A reader of single chunks ignores it.
            layer: the index of the hidden state to take, counted from the end and without its norm; None takes the
                last one with the norm. Only CLIP follows it.
            skip: hidden states to go back from there. Only CLIP follows it.
            from_empty: whether weights are as `weighed_from_empty` has them; language models ignore it.
        """


def tokens_of(tokenizer: Any, prompt: Weighted, known: Mapping[str, Tensor]) -> Iterator[Chunk]:
    """The tokens of a prompt one by one; the vectors of one embedding come together.

    Args:
        known: embeddings by the word that they replace.
    """
    for start, text, word in split_at_words(prompt.text, known):
        if word is not None:
            weight = prompt.weight(start, start + len(text))
            yield [Token(tokenizer.bos_token_id, weight, vector) for vector in known[word]]
            continue
        found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        for number, (first, last) in zip(found.input_ids, found.offset_mapping, strict=True):
            yield (Token(number, prompt.weight(start + first, start + last)),)


def weighed(
    chunk: Chunk, embeddings: Tensor, encode: Callable[[Sequence[Chunk]], Tensor | Sequence[Tensor]], start: int
) -> Tensor:
    """The embeddings `[token, channel]` of a chunk, with the weights of its words applied.

    A weight moves the embeddings along their difference to those of the same chunk without the weighted words:
    full + sum of (weight - 1) x (full - without). Tokens after these words are compared with themselves, padding with
    padding at the same place, and the words with the same places of the empty text.

    Args:
        encode: gives the embeddings of chunks.
        start: tokens in front of the chunk's own.
    """
    import torch

    moved, at = embeddings, 0
    end = start + len(chunk) + 1
    for weight, run in groupby(chunk, key=attrgetter("weight")):
        first, last = at, at + len([*run])
        at = last
        if weight != 1:
            without, empty = encode([[*chunk[:first], *chunk[last:]], ()])
            words = slice(start + first, start + last)
            after = without[words.start : end - (last - first)]
            base = torch.cat([without[: words.start], empty[words], after, without[end:]])
            moved = moved + (weight - 1) * (embeddings - base)
    return moved


def weighed_from_empty(
    chunk: Chunk, embeddings: Tensor, encode: Callable[[Sequence[Chunk]], Tensor | Sequence[Tensor]], start: int
) -> Tensor:
    """The same, where a weight moves each token along its difference to that of the empty text at its place."""
    weights = [token.weight for token in chunk]
    if all(weight == 1 for weight in weights):
        return embeddings
    (empty,) = encode([()])
    factors = embeddings.new_ones((len(embeddings), 1))
    factors[start : start + len(chunk), 0] = factors.new_tensor(weights)
    return empty + factors * (embeddings - empty)


def padded(rows: Sequence[Sequence[int]], length: int, padding: int) -> list[list[int]]:
    """Rows of token numbers, filled up at the end to one length."""
    return [[*row, *[padding] * (length - len(row))] for row in rows]
