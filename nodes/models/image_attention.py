"""Attention to pictures next to the prompt: for some rows of a batch, what an IP-Adapter adds to a layer.

The network is shared by all that hold its recipe: a patch wraps its attention processors, and a wrapped one does what
it did before except in a call that names pictures (`shown_images`). Keys and values of the pictures' tokens are the
same in every step; they are worked out before the first.

Imports torch: only the bodies of nodes import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from weft.engine import InputError, Loading, Patch, value
from weft.nodes.models.denoiser import Denoiser

attention = nn.functional.scaled_dot_product_attention


@dataclass(frozen=True, eq=False)
class ShownImages:
    """Pictures that some rows of a batch attend to, through one adapter.

    Args:
        rows: of the batch.
        keys: the key and the value of their tokens for each layer `[row, token, channel]`.
        factors: the factor of what is added, for each layer.
        mask: how much is added at each place `[row or 1, height, width]`; None is 1 everywhere.
        size: height and width of the latents, for the mask.
    """

    rows: slice | list[int]
    keys: Sequence[tuple[Tensor, Tensor]]
    factors: Sequence[float]
    mask: Tensor | None
    size: tuple[int, int]
    _masks: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def attended(self, number: int, query: Tensor) -> Tensor:
        """What a layer adds for queries `[row, head, token, channel]` of its rows."""
        key, value = (in_heads(one, query.shape[1]) for one in self.keys[number])
        added = self.factors[number] * attention(query, key, value)
        return added if self.mask is None else added * self.mask_for(query)

    def mask_for(self, query: Tensor) -> Tensor:
        """The mask at the places of a layer's queries `[row or 1, 1, token, 1]`, interpolated as in diffusers."""
        count = query.shape[2]
        if count not in self._masks:
            assert self.mask is not None
            small = nn.functional.interpolate(self.mask[:, None], _grid(self.size, count), mode="bicubic")
            self._masks[count] = small.flatten(2)[..., None].to(query.device, query.dtype)
        return self._masks[count]


def in_heads(tokens: Tensor, heads: int) -> Tensor:
    """Tokens `[row, token, channel]` cut into heads `[row, head, token, channel]`."""
    rows, count, channels = tokens.shape
    return tokens.view(rows, count, heads, channels // heads).transpose(1, 2)


def _grid(size: tuple[int, int], count: int) -> tuple[int, int]:
    """Height and width of a layer with so many queries: each level has half the side of the one before, rounded up."""
    height, width = size
    while height * width > count:
        height, width = -(-height // 2), -(-width // 2)
    return height, width


_SHOWN: ContextVar[tuple[ShownImages, ...]] = ContextVar("pictures that a call attends to", default=())


@contextmanager
def shown_images(images: Sequence[ShownImages]) -> Iterator[None]:
    """Attention to pictures in the layers that `ImageLayers` made ready, while the block runs."""
    token = _SHOWN.set(tuple(images))
    try:
        yield
    finally:
        _SHOWN.reset(token)


def shown() -> tuple[ShownImages, ...]:
    """The pictures that the present call attends to."""
    return _SHOWN.get()


@value
@dataclass(frozen=True)
class ImageLayers(Patch[Denoiser]):
    """Makes the layers in which IP-Adapters act ready to attend to pictures."""

    def enter(self, module: Denoiser, loading: Loading) -> Callable[[], None]:
        names = [layer.name for layer in module.image_layers(module.network.config)]
        layers = [module.network.get_submodule(name) for name in names]
        before = [layer.processor for layer in layers]

        def undo() -> None:
            for layer, processor in zip(layers, before, strict=True):
                layer.set_processor(processor)

        for number, (layer, processor) in enumerate(zip(layers, before, strict=True)):
            layer.set_processor(module.image_processor(processor, number))
        return undo


@dataclass(frozen=True)
class CrossAttentionWithImages:
    """A processor of cross-attention around another: pictures are added to what the text gives.

    The inner processor calls attention once, and what pictures give is added to its result there, before the layer's
    projection, so that this works around every processor of diffusers.
    """

    inner: Any
    number: int

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Called by diffusers, which fixes the names."""
        images = [one for one in shown() if one.factors[self.number]]
        given = (hidden_states, encoder_hidden_states, attention_mask, temb)
        if not images:
            unchanged: Tensor = self.inner(attn, *given)
            return unchanged
        with AddedAttention(images, self.number) as added_attention:
            changed: Tensor = self.inner(attn, *given)
        if not added_attention.acted:
            raise InputError(
                "the network's attention is not torch's own, so pictures cannot be added to it",
                "leave its attention processors as they are, or ApplyIPAdapter out",
                "unsupported-by-model",
            )
        return changed


class AddedAttention(TorchFunctionMode):
    """While active, scaled dot-product attention adds what some rows attend to in pictures."""

    def __init__(self, images: Sequence[ShownImages], number: int) -> None:
        super().__init__()
        self.images = images
        self.number = number
        self.acted = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is not attention:
            return result
        self.acted = True
        query = args[0] if args else (kwargs or {})["query"]
        for image in self.images:
            result = added(result, image, image.attended(self.number, query[image.rows]))
        return result


def added(total: Tensor, image: ShownImages, own: Tensor) -> Tensor:
    """A sum for a whole batch, of which a picture has its rows."""
    if image.rows == slice(None):
        return total + own
    changed = total.clone()
    changed[image.rows] += own
    return changed


@dataclass(frozen=True)
class JointAttentionWithImages:
    """A processor of FLUX.1's joint attention around another: what pictures give is a third result.

    The block adds it to the picture's stream. Queries are those of the latents, without their places.
    """

    inner: Any
    number: int

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Called by diffusers, which fixes the names."""
        plain: tuple[Tensor, ...] = self.inner(
            attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb
        )
        images = [one for one in shown() if one.factors[self.number]]
        if not images:
            return plain
        query = attn.norm_q(attn.to_q(hidden_states).unflatten(-1, (attn.heads, -1))).transpose(1, 2)
        total = torch.zeros_like(query)
        for image in images:
            total = added(total, image, image.attended(self.number, query[image.rows]))
        return (*plain, total.transpose(1, 2).flatten(2))
