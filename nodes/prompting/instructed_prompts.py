"""Prompts that a language model reads behind an instruction where guidance leads to them, and alone elsewhere.

One encoded prompt holds both, the instructed one first, each filled up to half of its tokens. Importing this module
imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from weft.nodes.prompting.chat import Chat
from weft.nodes.prompting.language_reader import LanguageModelReader
from weft.nodes.prompting.prompt_encoder import OneTextModel
from weft.nodes.prompting.prompts import Reading
from weft.nodes.prompting.text_reader import Encoded

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Prompt


class InstructedPrompts(OneTextModel):
    """Prompts behind an instruction, and the same without it."""

    instruction: ClassVar[str]

    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        import torch

        (reader,) = self.readers
        assert isinstance(reader, LanguageModelReader)
        reader = reader if reading.longest is None else reader.limited(reading.longest)
        sides = [self.instructed(reader, texts, reading), self.asked(reader, "", texts, reading)]
        length = max(len(row) for rows in sides for row in rows)

        def filled(row: Tensor) -> Tensor:
            return torch.nn.functional.pad(row, (0, 0, 0, length - len(row)))

        both = [torch.cat([filled(rows[text]) for rows in sides]) for text in range(len(texts))]
        counts = [[len(rows[text]) for rows in sides] for text in range(len(texts))]
        read = [[int(place < count) for count in pair for place in range(length)] for pair in counts]
        return Encoded(torch.stack(both), torch.tensor(read))

    def instructed(self, reader: LanguageModelReader, texts: Sequence[str], reading: Reading) -> list[Tensor]:
        """The hidden states `[token, channel]` of each text behind the instruction, as the denoiser reads them."""
        return self.asked(reader, self.instruction, texts, reading)

    def asked(
        self, reader: LanguageModelReader, instruction: str, texts: Sequence[str], reading: Reading
    ) -> list[Tensor]:
        """The hidden states `[token, channel]` of each text behind some words."""
        asked = LanguageModelReader(
            reader.name,
            reader.network,
            reader.tokenizer,
            replace(reader.reading, chat=Chat(instruction + "{}")),
        )
        encoded = asked.read([asked.split(reading.of(text), self.words) for text in texts], 1)
        mask = encoded.attention_mask
        counts = [encoded.embeddings.shape[1]] * len(texts) if mask is None else mask.sum(dim=1).long().tolist()
        return [row[:count] for row, count in zip(encoded.embeddings, counts, strict=True)]


def side_of(prompt: Prompt[Any], negative: bool) -> tuple[Tensor, Tensor]:
    """The half of a prompt that a denoiser reads, and its mask.

    Args:
        negative: whether guidance leads away from it.
    """
    half = prompt.embeddings.shape[1] // 2
    mask = prompt.attention_mask
    assert mask is not None
    part = slice(half, None) if negative else slice(half)
    return prompt.embeddings[:, part], mask[:, part]
