"""A VAE of clips over one picture in strips: the same result as over the whole, with a fraction of the memory.

The networks of Qwen-Image and of Wan 2.1 normalise each place by itself (by the root mean square of its channels), so
that beyond the middle, which has attention and is computed whole at an eighth of the picture along each side, a place
depends on those around it alone. A strip is computed with as many rows around it as its convolutions see.

Imports torch: only bodies of methods that nodes call import this module.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

DECODES = ("QwenImageUpBlock", "WanUpBlock")
ENCODES = ("QwenImageResidualBlock", "QwenImageResample", "WanResidualBlock", "WanResample")
"""The blocks of diffusers that are known here: of convolutions and of norms of one place."""

LEAST_ROWS = 8
"""Rows of a strip at least, in elements of the latents."""


def can_strip(network: Any) -> bool:
    """Whether a VAE is built of what is known here."""
    parts = [getattr(network, name, None) for name in ("decoder", "encoder")]
    up, down = [*getattr(parts[0], "up_blocks", ())], [*getattr(parts[1], "down_blocks", ())]
    known = all(type(block).__name__ in DECODES for block in up) and all(
        type(block).__name__ in ENCODES for block in down
    )
    return bool(up and down) and known and network.config.get("patch_size") is None


def decoded(network: Any, latents: Tensor, elements: int) -> Tensor:
    """Pixels in -1..1 from latents, both `[item, channel, 1, height, width]`.

    Args:
        elements: of latents that a strip has, nearly.
    """
    decoder = network.decoder
    middle = decoder.mid_block(decoder.conv_in(network.post_quant_conv(latents)))
    layers = [*decoder.up_blocks, decoder.norm_out, decoder.nonlinearity, decoder.conv_out]
    reach = _reach(layers, 1.0)
    parts: list[Tensor] = []
    for start, stop in _spans(middle, elements):
        low, high = max(start - reach, 0), min(stop + reach, middle.shape[-2])
        made = _through(layers, middle[..., low:high, :])
        factor = made.shape[-2] // (high - low)
        parts.append(made[..., (start - low) * factor : (stop - low) * factor, :].clone())
    return torch.cat(parts, dim=-2).clamp(-1, 1)


def encoded(network: Any, pictures: Tensor, elements: int) -> Tensor:
    """The parameters of the distribution of latents, from pixels in -1..1, both `[item, channel, 1, height, width]`.

    Args:
        elements: of latents that a strip has, nearly.
    """
    encoder = network.encoder
    layers = [encoder.conv_in, *encoder.down_blocks]
    factor = 2 ** sum(layer.stride[0] == 2 for layer in _convolutions(layers))
    reach = math.ceil(_reach(layers, 1.0) / factor)
    rows, width = pictures.shape[-2] // factor, pictures.shape[-1] // factor
    parts: list[Tensor] = []
    for start, stop in _spans(pictures.new_empty(rows, width), elements):
        low, high = max(start - reach, 0), min(stop + reach, rows)
        made = _through(layers, pictures[..., low * factor : high * factor, :])
        parts.append(made[..., start - low : stop - low, :].clone())
    middle = encoder.mid_block(torch.cat(parts, dim=-2))
    ends = [encoder.norm_out, encoder.nonlinearity, encoder.conv_out, network.quant_conv]
    return _through(ends, middle)


def _through(layers: list[Any], given: Tensor) -> Tensor:
    for layer in layers:
        given = layer(given)
    return given


def _spans(whole: Tensor, elements: int) -> Iterator[tuple[int, int]]:
    """The first row of each strip, and that of the next."""
    height, width = whole.shape[-2:]
    rows = max(LEAST_ROWS, elements // width)
    for start in range(0, height, rows):
        yield start, min(start + rows, height)


def _convolutions(layers: list[Any]) -> Iterator[nn.Conv2d | nn.Conv3d]:
    """The convolutions over places, in order; those over frames alone, which a picture skips, are none."""
    for layer in layers:
        for one in layer.modules() if isinstance(layer, nn.Module) else ():
            if isinstance(one, nn.Conv2d | nn.Conv3d) and one.kernel_size[-1] > 1:
                yield one


def _reach(layers: list[Any], scale: float) -> int:
    """How many elements of what layers are given away what they make is made from.

    Args:
        scale: elements of it in one of theirs.
    """
    reach = 0.0
    for layer in layers:
        for one in layer.modules() if isinstance(layer, nn.Module) else ():
            if isinstance(one, nn.Upsample):
                scale /= _doubling(one)
            elif isinstance(one, nn.Conv2d | nn.Conv3d):
                reach += one.kernel_size[-1] // 2 * scale
                scale *= one.stride[-1]
    return math.ceil(reach) + 1


def _doubling(layer: nn.Upsample) -> float:
    factor: Any = layer.scale_factor
    return float(factor[0] if isinstance(factor, tuple) else factor)
