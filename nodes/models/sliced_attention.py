"""Attention that is computed in slices, for devices whose kernels hold the scores of all heads at once.

Kernels such as flash attention never hold them. Where torch has none for a device (MPS, old GPUs), scores take heads x
queries x keys numbers: 17 GB for a picture of 2048 pixels in a VAE. Each head, and each query, is computed by itself,
so slices give what the whole gives. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weft.engine import Context, Loading, Patch, value
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.replaced_forward import replaced_forward

if TYPE_CHECKING:
    from torch import Tensor

MOST = 64 * 2**20
"""Bytes of scores that are held at once."""


def holds_scores(device: str) -> bool:
    """Whether attention on a device holds all scores at once."""
    kind = device.partition(":")[0]
    if kind == "cuda":
        import torch

        kernels: Any = torch.backends.cuda
        return not (kernels.flash_sdp_enabled() or kernels.mem_efficient_sdp_enabled())
    return kind not in ("cpu", "xpu", "meta")  # what is counted dry has a kernel


def spared(context: Context) -> AbstractContextManager[object]:
    """Attention in slices while the block runs, where that saves memory and memory was short before."""
    if holds_scores(context.device) and context.saves("attention"):
        return in_slices()
    return nullcontext()


@value
@dataclass(frozen=True)
class SlicedAttention(Patch[Denoiser]):
    """Computes a network's attention in slices."""

    def enter(self, module: Denoiser, loading: Loading) -> Callable[[], None]:
        network = module.network
        own = network.forward

        def forward(*given: Any, **named: Any) -> Any:
            with in_slices():
                return own(*given, **named)

        return replaced_forward(network, forward)


def in_slices(most: int = MOST) -> AbstractContextManager[object]:
    """torch's attention in slices while the block runs.

    Args:
        most: bytes of scores that are held at once, at least one row of one head.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Sliced(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.nn.functional.scaled_dot_product_attention:
                return _sliced(most, *args, **(kwargs or {}))
            return func(*args, **(kwargs or {}))

    return Sliced()


def _sliced(
    most: int, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *given: Any, **named: Any
) -> Tensor:
    """What `scaled_dot_product_attention` gives: some heads after the others, and of one head some queries."""
    import torch

    heads = query.shape[-3] if query.ndim > 2 else 1
    scores = query[..., 0].numel() * key.shape[-2] * 4
    causal = bool(named.get("is_causal") or (len(given) > 1 and given[1]))
    if scores > most and heads > 1 and key.shape[-3] == heads:
        axis, count = -3, heads
    elif scores > most and query.shape[-2] > 1 and not causal:
        axis, count = -2, query.shape[-2]
    else:
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask, *given, **named)
    size = max(1, most * count // scores)
    parts = []
    for first in range(0, count, size):
        keys, values, mask = key, value, attn_mask
        rows = min(size, count - first)
        if axis == -3:
            keys, values = key.narrow(axis, first, rows), value.narrow(axis, first, rows)
        if mask is not None and mask.ndim >= -axis and mask.shape[axis] > 1:
            mask = mask.narrow(axis, first, rows)
        parts.append(_sliced(most, query.narrow(axis, first, rows), keys, values, mask, *given, **named))
    return torch.cat(parts, axis)
