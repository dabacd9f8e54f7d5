"""The cross-attention layers of a UNet, from its configuration alone: their names, channels and order. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weft.nodes.models.denoiser_facts import ImageLayer
from weft.nodes.models.diffusers_folder import MOST_LAYERS

WIDTHS = (320, 640, 1280, 1280)
DOWN_TYPES = (*["CrossAttnDownBlock2D"] * 3, "DownBlock2D")
UP_TYPES = ("UpBlock2D", *["CrossAttnUpBlock2D"] * 3)
"""The defaults of diffusers' class."""

DOWN, UP, MIDDLE = "down_block_types", "up_block_types", "UNetMidBlock2DCrossAttn"


def cross_attentions(config: Mapping[str, Any]) -> Iterator[ImageLayer]:
    """The layers in the order in which diffusers lists attention processors: down, up, middle."""
    widths = [*config.get("block_out_channels", WIDTHS)]
    reads = _each(config.get("cross_attention_dim", 1280), len(widths))
    layers = _each(config.get("layers_per_block", 2), len(widths))
    depths = _each(config.get("transformer_layers_per_block", 1), len(widths))
    back = config.get("reverse_transformer_layers_per_block") or depths[::-1]
    yield from _side("down_blocks", config.get(DOWN, DOWN_TYPES), widths, reads, layers, depths)
    up = [count + 1 for count in layers[::-1]]
    yield from _side("up_blocks", config.get(UP, UP_TYPES), widths[::-1], reads[::-1], up, back)
    if config.get("mid_block_type", MIDDLE) == MIDDLE:
        middle = depths[-1]
        depth = middle if isinstance(middle, int) else middle[-1]
        yield from _attention("mid_block.attentions.0", depth, widths[-1], reads[-1])


def _side(
    side: str,
    types: Sequence[str],
    widths: Sequence[int],
    reads: Sequence[int],
    layers: Sequence[int],
    depths: Sequence[Any],
) -> Iterator[ImageLayer]:
    for level, (kind, width, read, count, depth) in enumerate(zip(types, widths, reads, layers, depths, strict=True)):
        for index, blocks in enumerate(_each(depth, count)) if "CrossAttn" in kind else ():
            yield from _attention(f"{side}.{level}.attentions.{index}", blocks, width, read)


def _attention(name: str, depth: int, width: int, read: int) -> Iterator[ImageLayer]:
    if depth > MOST_LAYERS:
        raise ValueError(f"{depth} blocks of attention in {name}")
    for block in range(depth):
        yield ImageLayer(f"{name}.transformer_blocks.{block}.attn2", width, read)


def _each(given: Any, count: int) -> list[Any]:
    """One entry for each of so many: a configuration may have one for all."""
    return [*given] if isinstance(given, list | tuple) else [given] * count
