"""ByT5 as a text model that reads the texts in quotes alone, which are to be seen in the picture, letter by letter.

ByT5 (https://arxiv.org/abs/2105.13626) reads bytes, so that it has no vocabulary (HunyuanVideo 1.5, Glyph-ByT5,
https://arxiv.org/abs/2403.09622). Importing this module imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from weft.nodes.prompting.prompts import Weighted
from weft.nodes.prompting.t5 import T5, MaskedT5Reader, T5Reader
from weft.nodes.prompting.text_encoders import TextModelFiles
from weft.nodes.prompting.text_reader import NO_WORDS, Chunk, Encoded, Token, Words
from weft.nodes.prompting.tokenizers import load_tokenizer, tokenizer_files

if TYPE_CHECKING:
    from torch import Tensor

QUOTED = re.compile('"(.*?)"|\N{LEFT DOUBLE QUOTATION MARK}(.*?)\N{RIGHT DOUBLE QUOTATION MARK}')
"""A text in quotes, on one line."""


def glyph_text(prompt: str) -> str:
    """What ByT5 reads of a prompt: its texts in quotes, each once; empty where there is none."""
    texts = dict.fromkeys(straight or curly for straight, curly in QUOTED.findall(prompt))
    return "".join(f'Text "{text}". ' for text in texts)


@dataclass(frozen=True)
class GlyphT5(T5):
    """ByT5's encoder of the texts in quotes of a prompt."""

    takes_tokenizer: ClassVar[bool] = False
    takes_length: ClassVar[bool] = False

    def check_tokenizer(self, files: TextModelFiles) -> None:
        """None is needed: its tokens are bytes."""

    def tokenizer(self, files: TextModelFiles) -> Any:
        """That of its folder, or the one that knows bytes alone."""
        from transformers import ByT5Tokenizer

        if files.tokenizer and tokenizer_files(files.tokenizer):
            return load_tokenizer(files.tokenizer, self.tokenizer_hint)
        return ByT5Tokenizer()

    @property
    def reader_class(self) -> type[T5Reader]:
        return GlyphReader


class GlyphReader(MaskedT5Reader):
    """ByT5's encoder with its tokenizer. Weights of words do not reach it."""

    def limited(self, longest: int) -> Self:
        """The same: a length is one of the prompt."""
        return self

    def split(self, prompt: Weighted, words: Words = NO_WORDS) -> list[Chunk]:
        """The bytes of the texts in quotes in one chunk, cut at the longest; an empty one where there are none."""
        found = glyph_text(prompt.text)
        numbers = self.tokenizer(found, add_special_tokens=False, verbose=False).input_ids if found else []
        return [[Token(number, 1.0) for number in numbers[: self.longest - 1]]]

    def read(
        self,
        texts: Sequence[Sequence[Chunk]],
        count: int,
        layer: int | None = None,
        skip: int = 0,
        from_empty: bool = False,
    ) -> Encoded:
        """The bytes and the token that ends them; zeros where there is nothing to read."""
        import torch

        chunks = [chunk for (chunk,) in texts]
        length = max(len(chunk) for chunk in chunks) + 1
        there = torch.tensor([[int(bool(chunk))] for chunk in chunks])
        mask: Tensor = self._mask(chunks, length) * there
        states = self._encode(chunks, length)
        return Encoded(states * mask.to(states)[..., None], attention_mask=mask)
