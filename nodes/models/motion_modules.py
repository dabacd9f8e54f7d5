"""Motion modules in a UNet (AnimateDiff): attention over the frames of a clip, after each of its layers.

The frames of a clip go through the UNet as rows of a batch; a motion module sees the rows of a clip together. diffusers
has a class of its own for such a UNet, with the same numbers; here it stays the UNet that all other nodes know, and the
modules have the names that they have in that class, so that LoRAs for motion find them.

Imports torch: only loaders and the bodies of nodes import this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn

_FRAMES: ContextVar[int] = ContextVar("frames of the clips of a call", default=1)


@contextmanager
def clip_frames(count: int) -> Iterator[None]:
    """While open, each `count` rows of a batch are the frames of a clip."""
    token = _FRAMES.set(count)
    try:
        yield
    finally:
        _FRAMES.reset(token)


PLAIN_GROUPS = 32
"""Groups of the norms of motion modules in blocks without attention, as in diffusers' UNetMotionModel."""


def add_motion_modules(unet: Any, adapter: Any) -> None:
    """Put the modules of a diffusers MotionAdapter into a UNet2DConditionModel, for good."""
    pairs = [*zip(unet.down_blocks, adapter.down_blocks, strict=True)]
    pairs += [*zip(unet.up_blocks, adapter.up_blocks, strict=True)]
    pairs += [(unet.mid_block, adapter.mid_block)] if adapter.mid_block is not None else []
    for block, motion in pairs:
        attentions = getattr(block, "attentions", None)
        for layer, module in zip(attentions or block.resnets, motion.motion_modules, strict=True):
            module.norm.num_groups = unet.config.norm_num_groups if attentions else PLAIN_GROUPS
            layer.register_forward_hook(_after(module))
        block.motion_modules = motion.motion_modules


def _after(module: nn.Module) -> Any:
    """Sends what a layer gives through a motion module."""

    def moved(layer: nn.Module, given: Any, found: Any) -> Any:
        if isinstance(found, Tensor):
            return module(found, num_frames=_FRAMES.get())
        first, *rest = found
        return (module(first, num_frames=_FRAMES.get()), *rest)

    return moved
