"""The decoder of HunyuanVideo 1.5 over one latent frame at a time: the same result as over the whole clip.

Nothing in it looks ahead: a convolution over time sees the two frames before its own, attention all that came before,
norms one place. So a frame follows from itself and from what layers saw of those before it.

Imports torch: only bodies of methods that nodes call import this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from weft.nodes.models.remembering_decoder import LayerCall, RememberingDecoder

CONVOLUTION, ATTENTION, UPSAMPLING = "HunyuanVideo15CausalConv3d", "HunyuanVideo15AttnBlock", "HunyuanVideo15Upsample"
"""The classes of diffusers whose layers look at other frames."""


class CausalDecoder(RememberingDecoder):
    """The decoder, which is given a latent frame at a time.

    It remembers frames `[batch, channel, frame, height, width]`, and keys and values of attention `[batch, element,
    channel]`.
    """

    def part(self, latents: Tensor, number: int, **options: Any) -> Tensor:
        with self.remembering():
            pixels: Tensor = self.decoder(latents[:, :, number : number + 1], **options)
        return pixels

    def calls(self) -> Mapping[str, LayerCall]:
        """The first frame of a clip stands for one picture alone, so that its upsampling is diffusers' own."""
        calls: Mapping[str, LayerCall] = {CONVOLUTION: self._convolution, ATTENTION: self._attention}
        return {**calls, UPSAMPLING: _upsampling} if self.memory else calls

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
