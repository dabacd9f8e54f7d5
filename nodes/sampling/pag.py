"""Perturbed self-attention: for some rows of a batch, each element of the picture attends to itself alone.

Perturbed-attention guidance (https://arxiv.org/abs/2403.17377) leads away from such predictions. The network is shared
by all that hold its recipe: a patch wraps its attention processors, and a wrapped one does what it did before except in
a call that names rows to perturb.

Imports torch: only the bodies of nodes import this module. Read next: `weft.nodes.sampling.guided_denoiser`, which
calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from weft.engine import InputError, Loading, Patch, value
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.network_blocks import lies_in


def self_attentions(model: Denoiser, layers: Sequence[str]) -> tuple[Any, ...]:
    """The self-attention modules in some parts of a network; in its middle where no part is named.

    Args:
        layers: parts of the network, by diffusers' names: `mid_block`, `down_blocks.1`, `transformer_blocks.13`.

    Raises:
        InputError: where there is none in one of these parts.
    """
    found = {
        name: module
        for name, module in model.network.named_modules()
        if isinstance(module, Attention) and not module.is_cross_attention
    }
    if not found:
        raise InputError(
            f"the network of {model.family} has no self-attention that can be perturbed",
            "leave PerturbedAttention out",
            "unsupported-by-model",
        )
    for layer in layers:
        if not any(lies_in(name, layer) for name in found):
            raise InputError(
                f"the network has no self-attention in `{layer}`",
                f"name parts of these: {', '.join(found)}",
                "unknown-layer",
            )
    wanted = layers or (_middle(model.network),)
    return tuple(module for name, module in found.items() if any(lies_in(name, layer) for layer in wanted))


def _middle(network: Any) -> str:
    blocks = getattr(network, "transformer_blocks", ())
    return f"transformer_blocks.{len(blocks) // 2}" if blocks else "mid_block"


@value
@dataclass(frozen=True)
class PerturbedLayers(Patch[Denoiser]):
    """Makes self-attention ready to be perturbed, in the rows that `perturbed_rows` names.

    Args:
        layers: parts of the network, as in `self_attentions`.
    """

    layers: tuple[str, ...]

    def enter(self, module: Denoiser, loading: Loading) -> Callable[[], None]:
        attentions = self_attentions(module, self.layers)
        before = [attention.processor for attention in attentions]

        def undo() -> None:
            for attention, processor in zip(attentions, before, strict=True):
                attention.set_processor(processor)

        for attention, processor in zip(attentions, before, strict=True):
            attention.set_processor(PerturbedProcessor(processor))
        return undo


_ROWS: ContextVar[tuple[int, int] | None] = ContextVar("rows of a batch that are not perturbed", default=None)


@contextmanager
def perturbed_rows(kept: int, parts: int) -> Iterator[None]:
    """Perturbed attention for all but the first `kept` of the `parts` equal parts of a batch, while the block runs.

    It acts in the layers that `PerturbedLayers` made ready.
    """
    token = _ROWS.set((kept, parts))
    try:
        yield
    finally:
        _ROWS.reset(token)


@dataclass(frozen=True)
class PerturbedProcessor:
    """An attention processor around another: self-attention is perturbed in the rows of `perturbed_rows`."""

    inner: Any

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, ...]:
        """Called by diffusers, which fixes the names; joint attention also returns the text's hidden states."""
        given = (hidden_states, encoder_hidden_states, attention_mask, temb)
        rows = _ROWS.get()
        if rows is None:
            unchanged: Tensor | tuple[Tensor, ...] = self.inner(attn, *given)
            return unchanged
        kept, parts = rows
        split = len(hidden_states) * kept // parts
        if not split:
            with SelfAlone(_count(hidden_states)):
                alone: Tensor | tuple[Tensor, ...] = self.inner(attn, *given)
                return alone
        first, last = ([None if one is None else one[rows] for one in given] for rows in _halves(split))
        plain = self.inner(attn, *first)
        with SelfAlone(_count(hidden_states)):
            changed = self.inner(attn, *last)
        if isinstance(plain, Tensor):
            return torch.cat([plain, changed])
        return tuple(torch.cat(pair) for pair in zip(plain, changed, strict=True))


def _count(hidden_states: Tensor) -> int:
    """The number of tokens: they come as `[row, token, channel]`, or as elements of `[row, channel, height, width]`."""
    return hidden_states.shape[1] if hidden_states.ndim == 3 else hidden_states[0, 0].numel()


def _halves(split: int) -> tuple[slice, slice]:
    return slice(None, split), slice(split, None)


class SelfAlone(TorchFunctionMode):
    """While active, each of the first `count` tokens attends to itself and to the tokens after `count`.

    The tokens after `count` (the text, in joint attention) attend to all. It replaces scaled dot-product attention
    itself, so that it works inside of every attention processor of diffusers.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is not nn.functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value = args
        tokens = query.shape[-2]
        if tokens == self.count:
            return value  # Attention to oneself alone: each token gets its own value.
        mask = torch.ones(tokens, tokens, dtype=torch.bool, device=query.device)
        mask[: self.count, : self.count] = torch.eye(self.count, dtype=torch.bool, device=query.device)
        return func(query, key, value, attn_mask=mask)
