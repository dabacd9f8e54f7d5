"""Attention to pictures in SD 3's transformer, by adapters whose keys and values are others in each step.

In each layer the latents attend, by norms of the adapter's own, to themselves and to the pictures, and what that gives
is added to the layer's result. diffusers adds it before the layer's projection, which is linear.

Imports torch: only the bodies of nodes import this module. `weft.nodes.models.image_attention` has what is shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from weft.nodes.models.image_attention import ShownImages, added, attention, in_heads, shown


@dataclass(frozen=True, eq=False)
class TimedShownImages(ShownImages):
    """Pictures that some rows of a batch attend to in one step.

    Args:
        layers: of the adapter, with the norms of queries and keys.
    """

    layers: Sequence[Any] = ()

    def attended_by(self, number: int, attn: Any, hidden: Tensor) -> Tensor:
        """What a layer adds for the hidden states of the latents `[row, token, channel]`, of its rows.

        Args:
            attn: the layer, whose projections make queries, keys and values of the latents.
        """
        layer = self.layers[number]
        query, key, value = (in_heads(one(hidden), attn.heads) for one in (attn.to_q, attn.to_k, attn.to_v))
        seen_key, seen_value = (in_heads(one, attn.heads) for one in self.keys[number])
        keys = torch.cat([layer.norm_k(key), layer.norm_ip_k(seen_key)], dim=2)
        values = torch.cat([value, seen_value], dim=2)
        added = self.factors[number] * attention(layer.norm_q(query), keys, values)
        return added if self.mask is None else added * self.mask_for(query)


@dataclass(frozen=True)
class JointAttentionWithTimedImages:
    """A processor of SD 3's joint attention around another: pictures are added to what the latents get of it."""

    inner: Any
    number: int

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, ...]:
        """Called by diffusers, which fixes the names; the text's hidden states are given back too, where there are."""
        given = (hidden_states, encoder_hidden_states, attention_mask)
        images = [one for one in shown() if one.factors[self.number] and isinstance(one, TimedShownImages)]
        if not images:
            unchanged: Tensor | tuple[Tensor, ...] = self.inner(attn, *given)
            return unchanged
        total = torch.zeros_like(hidden_states)
        for image in images:
            own = image.attended_by(self.number, attn, hidden_states[image.rows])
            total = added(total, image, own.transpose(1, 2).flatten(2))
        changed = self.inner(attn, *given)
        more = _projected(attn.to_out[0], total)
        return changed + more if isinstance(changed, Tensor) else (changed[0] + more, *changed[1:])


def _projected(layer: Any, tokens: Tensor) -> Tensor:
    """Tokens through a linear layer without its bias, whatever its weights are packed in."""
    projected: Tensor = layer(tokens) - layer(torch.zeros_like(tokens[:1, :1]))
    return projected
