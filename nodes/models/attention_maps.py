"""Which words of a prompt each part of a picture attends to: cross-attention, summed up while a network runs.

As in "What the DAAM: Interpreting Stable Diffusion Using Cross Attention" (https://arxiv.org/abs/2210.04885, section
2.2): the weights with which each place attends to a token are summed over heads, layers, which are brought to one size,
and steps. A patch wraps the attention processors; a wrapped one does what it did before, and adds to the maps that are
being recorded.

Imports torch: only the bodies of nodes import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional

from weft.engine import InputError, Loading, Patch, value
from weft.nodes.models.denoiser import Denoiser


@dataclass
class AttentionRecord:
    """The maps of some words, summed up.

    Args:
        prompt: the embeddings of the prompt `[token, channel]` whose rows of a batch are recorded.
        tokens: the places of each word's tokens among them.
        size: of the latents in elements: height and width.
        items: of the batch.
        active: whether the present step is recorded.
        maps: what was summed up, `[item, word, height, width]`.
    """

    prompt: Tensor
    tokens: Sequence[Sequence[int]]
    size: tuple[int, int]
    items: int
    active: bool = True
    maps: Tensor | None = field(default=None)

    def add(self, attention: Any, hidden: Tensor, text: Tensor) -> None:
        """Add what a layer attends to.

        Args:
            hidden: `[row, place, channel]`.
            text: `[row, token, channel]`.
        """
        rows = [row for row, one in enumerate(text) if self._is_prompt(one)]
        size = self._size_of(hidden.shape[1])
        if len(rows) != self.items or size is None:
            return
        weights = _weights(attention, hidden[rows], text[rows])
        words = torch.stack([weights[..., list(places)].mean(-1) for places in self.tokens], dim=1)
        planes = functional.interpolate(
            words.reshape(*words.shape[:2], *size), self.size, mode="bicubic", align_corners=False
        )
        planes = planes.clamp(min=0).float().cpu()
        self.maps = planes if self.maps is None else self.maps + planes

    def _is_prompt(self, row: Tensor) -> bool:
        return row.shape == self.prompt.shape and torch.equal(row, self.prompt.to(row))

    def _size_of(self, places: int) -> tuple[int, int] | None:
        """Height and width of a layer of so many places, an even fraction of the latents."""
        high, wide = self.size
        while high * wide > places:
            high, wide = -(-high // 2), -(-wide // 2)
        return (high, wide) if high * wide == places else None


def _weights(attention: Any, hidden: Tensor, text: Tensor) -> Tensor:
    """The weights of attention, summed over heads, `[row, place, token]`."""
    queries, keys = (_by_head(one, attention.heads) for one in (attention.to_q(hidden), attention.to_k(text)))
    scores = torch.matmul(queries, keys.transpose(-1, -2)) * attention.scale
    weights: Tensor = scores.float().softmax(dim=-1).sum(dim=1)
    return weights


def _by_head(channels: Tensor, heads: int) -> Tensor:
    """`[row, place, channel]` as `[row, head, place, channel of a head]`."""
    parted: Tensor = channels.reshape(*channels.shape[:2], heads, -1).transpose(1, 2)
    return parted


_RECORD: ContextVar[AttentionRecord | None] = ContextVar("attention that is recorded", default=None)


@contextmanager
def recording(record: AttentionRecord) -> Iterator[None]:
    """Record attention in the layers that `RecordedLayers` made ready, while the block runs."""
    token = _RECORD.set(record)
    try:
        yield
    finally:
        _RECORD.reset(token)


@value
@dataclass(frozen=True)
class RecordedLayers(Patch[Denoiser]):
    """Makes cross-attention ready to be recorded."""

    def enter(self, module: Denoiser, loading: Loading) -> Callable[[], None]:
        attentions: list[Any] = [
            one for one in module.network.modules() if isinstance(one, Attention) and one.is_cross_attention
        ]
        if not attentions:
            raise InputError(
                f"the network of {module.family} has no cross-attention, whose words could be shown",
                "use a model of SD 1, SD 2 or SDXL",
                "unsupported-by-model",
            )
        before = [attention.processor for attention in attentions]

        def undo() -> None:
            for attention, processor in zip(attentions, before, strict=True):
                attention.set_processor(processor)

        for attention, processor in zip(attentions, before, strict=True):
            attention.set_processor(RecordingProcessor(processor))
        return undo


@dataclass(frozen=True)
class RecordingProcessor:
    """An attention processor around another, which adds to what is being recorded."""

    inner: Any

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **others: Any,
    ) -> Tensor:
        """Called by diffusers, which fixes the names."""
        record = _RECORD.get()
        if record and record.active and encoder_hidden_states is not None and hidden_states.ndim == 3:
            record.add(attn, hidden_states, encoder_hidden_states)
        result: Tensor = self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, temb, **others)
        return result


def places_of(chunks: Sequence[Sequence[int]], words: Mapping[str, Sequence[int]], length: int) -> list[list[int]]:
    """The places of words among the embeddings of a prompt that was read in chunks between a start and an end token.

    Args:
        chunks: the tokens of the prompt.
        words: the tokens of each word; every place where they follow each other counts.
        length: tokens of a chunk, with its start and end.

    Raises:
        InputError: where a word is not in the prompt.
    """
    found = []
    for word, tokens in words.items():
        places = [
            number * length + 1 + at + offset
            for number, chunk in enumerate(chunks)
            for at in range(len(chunk) - len(tokens) + 1)
            if list(chunk[at : at + len(tokens)]) == list(tokens)
            for offset in range(len(tokens))
        ]
        if not places or not tokens:
            raise InputError(f"the prompt has no word `{word}`", "name words as the prompt has them", "word-not-found")
        found.append(places)
    return found
