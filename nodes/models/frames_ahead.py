"""The decoder of LTX-Video over a few latent frames at a time: the same result as over the whole clip.

Its convolutions over time see a frame before and a frame after their own, its norms one place. So a layer gives a frame
once it has seen the next one; what goes round layers waits for what went through them. After the last latent frame each
layer in turn has seen all that it will, and gives its last frame to those after it. So pictures come when the decoder
has seen several latent frames more, a few at a time, and what it remembers does not grow.

Imports torch: only bodies of methods that nodes call import this module.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from weft.nodes.models.remembering_decoder import LayerCall, RememberingDecoder

CONVOLUTION, BLOCK, UPSAMPLING = "LTXVideoCausalConv3d", "LTXVideoResnetBlock3d", "LTXVideoUpsampler3d"
CLASSES = (CONVOLUTION, BLOCK, UPSAMPLING)
"""The classes of diffusers whose layers look at other frames."""

LAST = "conv_out"
"""The last layer."""


class NoFrameYetError(Exception):
    """The layers have seen too few frames to give a picture."""


class LookaheadDecoder(RememberingDecoder):
    """The decoder, which is given a latent frame at a time, and after the last one has a layer at a time give the rest.

    Blocks that add noise to all frames (version 0.9.1) take it from a generator each, whose seed is the block's number:
    a clip has the same pictures each time. diffusers takes it from torch's own generator.
    """

    def __init__(self, decoder: Any, memory: Mapping[str, Tensor]) -> None:
        super().__init__(decoder, memory)
        layers = {name: layer for name, layer in decoder.named_modules() if type(layer).__name__ in CLASSES}
        self.blocks = [name for name, layer in layers.items() if type(layer).__name__ == BLOCK]
        convolutions = {name: layer for name, layer in layers.items() if type(layer).__name__ == CONVOLUTION}
        self.waiting = [name for name, layer in convolutions.items() if _frames_after(layer)]
        self.ending = ""

    def parts(self, frames: int) -> int:
        return frames + len(self.waiting)

    def part(self, latents: Tensor, number: int, **options: Any) -> Tensor | None:
        frames = latents.shape[2]
        self.ending = self.waiting[number - frames] if number >= frames else ""
        # Not the module's call: its forward may be replaced by one that calls this.
        forward = type(self.decoder).forward
        with self.remembering():
            try:
                pixels: Tensor = forward(self.decoder, latents[:, :, number : number + 1], **options)
            except NoFrameYetError:
                return None
        return pixels

    def calls(self) -> Mapping[str, LayerCall]:
        return {CONVOLUTION: self._convolution, BLOCK: self._block, UPSAMPLING: self._upsampling}

    def _convolution(self, name: str, layer: Any, frames: Tensor) -> Tensor:
        """A convolution over the frames and those around them; the first and the last one stand for what is not there.

        Raises:
            NoFrameYetError: where the last layer has no frame to give.
        """
        around, after = layer.kernel_size[0] - 1, _frames_after(layer)
        whole = frames
        if name in self.memory:
            whole = torch.cat([self.memory[name], frames], dim=2)
        elif frames.shape[2]:
            whole = torch.cat([frames[:, :, :1].repeat(1, 1, around - after, 1, 1), frames], dim=2)
        if name == self.ending:
            whole = torch.cat([whole, whole[:, :, -1:].repeat(1, 1, after, 1, 1)], dim=2)
        if around and whole.shape[2]:
            self.memory[name] = whole[:, :, -around:].clone()
        if whole.shape[2] <= around:
            if name == LAST:
                raise NoFrameYetError
            return frames.new_empty((len(frames), layer.out_channels, 0, *frames.shape[3:]))
        convolved: Tensor = layer.conv(whole)
        return convolved

    def _block(
        self, name: str, layer: Any, frames: Tensor, temb: Tensor | None = None, generator: Any = None
    ) -> Tensor:
        """What goes through two convolutions, and what goes round them; as `LTXVideoResnetBlock3d.forward`."""
        direct = frames if layer.norm3 is None else _by_place(layer.norm3, frames)
        self._wait(name, direct if layer.conv_shortcut is None else layer.conv_shortcut(direct))
        shifts = scales = (None, None)
        if layer.scale_shift_table is not None and temb is not None:
            table = (
                temb.reshape(len(temb), 4, -1, *temb.shape[2:]) + layer.scale_shift_table[None, ..., None, None, None]
            )
            shifts, scales = (table[:, 0], table[:, 2]), (table[:, 1], table[:, 3])
        noises = self._noises(name, layer, frames)
        ways = zip((layer.norm1, layer.norm2), (layer.conv1, layer.conv2), shifts, scales, noises, strict=True)
        for norm, convolution, shift, scale, noise in ways:
            frames = _by_place(norm, frames)
            if shift is not None and scale is not None:
                frames = frames * (1 + scale) + shift
            frames = convolution(layer.nonlinearity(frames)) + noise
        return frames + self._waited(name, frames.shape[2])

    def _noises(self, name: str, layer: Any, frames: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """What a block adds after its convolutions: noise of the size of a frame, scaled by channel."""
        if layer.per_channel_scale1 is None:
            return 0.0, 0.0
        generator = torch.Generator().manual_seed(self.blocks.index(name))
        scales = layer.per_channel_scale1, layer.per_channel_scale2
        drawn = (torch.randn(frames.shape[3:], generator=generator, dtype=torch.float32) for _ in scales)
        first, second = ((scale * noise.to(frames))[:, None] for scale, noise in zip(scales, drawn, strict=True))
        return first, second

    def _upsampling(self, name: str, layer: Any, frames: Tensor) -> Tensor:
        """Frames of twice the size, two for each but the first of its clip; as `LTXVideoUpsampler3d.forward`."""
        strides = layer.stride
        if layer.residual:
            self._wait(name, frames)
        convolved = layer.conv(frames)
        begins = f"{name}.begun" not in self.memory
        if convolved.shape[2]:
            self.memory[f"{name}.begun"] = torch.empty(0)
        spread = _spread(convolved, strides)
        if layer.residual:
            repeats = math.prod(strides) // layer.upscale_factor
            spread = spread + _spread(self._waited(name, convolved.shape[2]), strides).repeat(1, repeats, 1, 1, 1)
        return spread[:, :, strides[0] - 1 :] if begins else spread

    def _wait(self, name: str, frames: Tensor) -> None:
        """Keep frames that go round layers."""
        waiting = self.memory.get(f"{name}.direct")
        self.memory[f"{name}.direct"] = frames if waiting is None else torch.cat([waiting, frames], dim=2)

    def _waited(self, name: str, count: int) -> Tensor:
        """The first frames that were kept, as many as came through the layers."""
        waiting = self.memory[f"{name}.direct"]
        self.memory[f"{name}.direct"] = waiting[:, :, count:].clone()
        return waiting[:, :, :count]


def _frames_after(convolution: Any) -> int:
    """Frames that a convolution sees after its own."""
    return 0 if convolution.is_causal else (int(convolution.kernel_size[0]) - 1) // 2


def _by_place(norm: nn.Module, frames: Tensor) -> Tensor:
    """Frames `[batch, channel, frame, height, width]` normed over their channels at each place."""
    normed: Tensor = norm(frames.movedim(1, -1)).movedim(-1, 1)
    return normed


def _spread(frames: Tensor, strides: tuple[int, int, int]) -> Tensor:
    """Channels as more frames, rows and columns."""
    batch, channels, *sides = frames.shape
    parted = frames.reshape(batch, channels // math.prod(strides), *strides, *sides)
    return parted.permute(0, 1, 5, 2, 6, 3, 7, 4).flatten(6, 7).flatten(4, 5).flatten(2, 3)
