"""The decoder of HunyuanVideo 1.5 over one latent frame at a time: the same result as over the whole clip.

Nothing in it looks ahead: a convolution over time sees the two frames before its own, attention all that came before,
norms one place. So a frame follows from itself and from what layers saw of those before it. The layers of diffusers'
class take a clip whole and know of nothing before it, so that for the time of a decoding they are called in other ways.

Imports torch: only bodies of methods that nodes call import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

CONVOLUTION, ATTENTION, UPSAMPLING = "HunyuanVideo15CausalConv3d", "HunyuanVideo15AttnBlock", "HunyuanVideo15Upsample"
"""The classes of diffusers whose layers look at other frames."""


class RememberingDecoder:
    """A decoder that goes on with the frames that it is given.

    Args:
        decoder: diffusers' own.
        memory: what its layers saw of the frames before, by their names: tensors of `[batch, channel, frame, height,
            width]`, and of the keys and values of attention `[batch, element, channel]`.
    """

    def __init__(self, decoder: Any, memory: Mapping[str, Tensor]) -> None:
        self.decoder = decoder
        self.memory = dict(memory)

    def __call__(self, latents: Tensor) -> Tensor:
        """Pixels in -1..1 of the next latent frame `[batch, channel, 1, height, width]`."""
        with self._calls(begins=not self.memory):
            pixels: Tensor = self.decoder(latents)
        return pixels

    @contextmanager
    def _calls(self, begins: bool) -> Iterator[None]:
        """The layers over time are called with what they remember, while it is open.

        Args:
            begins: whether the frame is the first of its clip, which stands for one picture alone.
        """
        calls: Mapping[str, Callable[..., Tensor]] = {CONVOLUTION: self._convolution, ATTENTION: self._attention}
        if not begins:
            calls = {**calls, UPSAMPLING: _upsampling}
        with ExitStack() as undone:
            for name, layer in self.decoder.named_modules():
                if call := calls.get(type(layer).__name__):
                    undone.callback(_called(layer, partial(call, name, layer)))
            yield

    def _convolution(self, name: str, layer: Any, frames: Tensor) -> Tensor:
        """A convolution over the frames and those before them; the first frame of a clip stands for these."""
        *around, before, _ = layer.time_causal_padding
        seen = self.memory.get(f"{name}.frames", frames[:, :, :1].expand(-1, -1, before, -1, -1))
        whole = torch.cat([seen, frames], dim=2)
        self.memory[f"{name}.frames"] = whole[:, :, -before:].clone()
        convolved: Tensor = layer.conv(nn.functional.pad(whole, (*around, 0, 0), mode=layer.pad_mode))
        return convolved

    def _attention(self, name: str, layer: Any, frames: Tensor) -> Tensor:
        """Attention from the places of a frame to those of all frames up to it."""
        normed = layer.norm(frames)
        query, key, value = (one(normed).flatten(2).transpose(1, 2) for one in (layer.to_q, layer.to_k, layer.to_v))
        for part, own in (("keys", key), ("values", value)):
            seen = self.memory.get(f"{name}.{part}")
            self.memory[f"{name}.{part}"] = own if seen is None else torch.cat([seen, own], dim=1)
        found = nn.functional.scaled_dot_product_attention(
            query.unsqueeze(1), self.memory[f"{name}.keys"].unsqueeze(1), self.memory[f"{name}.values"].unsqueeze(1)
        )
        attended: Tensor = layer.proj_out(found.squeeze(1).transpose(1, 2).reshape(frames.shape))
        return attended + frames


def _upsampling(name: str, layer: Any, frames: Tensor) -> Tensor:
    """Frames that are not the first of their clip, of which each becomes two where time is upsampled."""
    spread = partial(layer._dcae_upsample_rearrange, r1=2 if layer.add_temporal_upsample else 1)
    larger: Tensor = spread(layer.conv(frames)) + spread(frames.repeat_interleave(layer.repeats, dim=1))
    return larger


def _called(layer: Any, call: Callable[..., Tensor]) -> Callable[[], None]:
    """Have a layer do another thing; gives the function that undoes it."""
    before = layer.__dict__.get("forward")
    layer.forward = call

    def undo() -> None:
        if before is None:
            del layer.forward
        else:
            layer.forward = before

    return undo
