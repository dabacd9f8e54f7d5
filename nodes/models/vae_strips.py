"""A VAE over a picture in strips: the same result as over the whole, with a fraction of the memory.

What ties the parts of a picture together in such a network is that group normalisation takes its mean and deviation
over the whole picture, and that a convolution sees its neighbours. A picture that is cut into tiles, each normalised
alone, changes its colours from tile to tile. Here a layer goes over the picture strip by strip, with the rows that its
convolutions see beyond the strip: once to take the statistics of its normalisation over all strips, once more to
compute. What lies between the layers is held whole, one activation at a time, written over in place where a block keeps
its channels. What a change of size makes is never held: it is computed each time that a strip of it is read. So it
takes up to twice the time. The middle of the network, an eighth of the picture along each side, is computed whole.

Imports torch: only bodies of methods that nodes call import this module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAST_ROWS = 8
"""Rows of a strip at least: each strip computes up to four rows more than it gives."""

Map = Callable[[Tensor], Tensor]

KNOWN_BLOCKS = ("UpDecoderBlock2D", "DownEncoderBlock2D")
"""The blocks of diffusers that consist of ResNet blocks and a change of size alone."""


def can_strip(network: Any) -> bool:
    """Whether a VAE is built of what is known here."""
    parts = [getattr(network, name, None) for name in ("encoder", "decoder")]
    blocks = [*getattr(parts[0], "down_blocks", ()), *getattr(parts[1], "up_blocks", ())]
    return bool(blocks) and all(type(block).__name__ in KNOWN_BLOCKS for block in blocks)


def decoded(network: Any, latents: Tensor, pixels: int) -> Tensor:
    """Pixels in -1..1 `[item, channel, height, width]` from latents, by diffusers' AutoencoderKL.

    Args:
        pixels: that a strip has, nearly.
    """
    if network.post_quant_conv is not None:
        latents = network.post_quant_conv(latents)
    decoder = network.decoder
    source: Rows = Held(decoder.mid_block(decoder.conv_in(latents), None))
    for block in decoder.up_blocks:
        for resnet in block.resnets:
            source = _through(resnet, source, pixels)
        for upsampler in block.upsamplers or ():
            source = Doubled(source, upsampler.conv)
    return _finished(decoder, source, pixels)


def encoded(network: Any, pictures: Tensor, pixels: int) -> Tensor:
    """The parameters of the distribution of latents, from pixels in -1..1, by diffusers' AutoencoderKL.

    Args:
        pixels: that a strip has, nearly.
    """
    encoder = network.encoder
    source: Rows = Convolved(Held(pictures), encoder.conv_in)
    for block in encoder.down_blocks:
        for resnet in block.resnets:
            source = _through(resnet, source, pixels)
        for downsampler in block.downsamplers or ():
            source = Halved(source, downsampler.conv)
    middle = encoder.mid_block(source.rows(0, source.height), None)
    parameters = encoder.conv_out(encoder.conv_act(encoder.conv_norm_out(middle)))
    return parameters if network.quant_conv is None else network.quant_conv(parameters)  # type: ignore[no-any-return]


def decoded_by_convolutions(network: Any, latents: Tensor, elements: int) -> Tensor:
    """Pictures in -1..1 from latents, by diffusers' AutoencoderTiny, which has nothing but convolutions.

    A strip is decoded with the rows around it that its pixels are made of.

    Args:
        elements: of latents that a strip has, nearly.
    """
    reach, source, parts = _reach(network.decoder), Held(latents), []
    for start, stop in _spans(source, elements):
        window = Window.on(source, start - reach, stop + reach)
        made: Tensor = network.decode(window.seen, return_dict=False)[0]
        factor = made.shape[-2] // window.seen.shape[-2]
        parts.append(made[..., (start - window.first) * factor : (stop - window.first) * factor, :].clone())
    return torch.cat(parts, dim=-2)


def _reach(layers: nn.Module) -> int:
    """How many elements of latents away a decoder's pixels are made from."""
    reach, scale = 0.0, 1.0
    for layer in layers.modules():
        if isinstance(layer, nn.Upsample):
            scale *= float(layer.scale_factor)  # type: ignore[arg-type]
        elif isinstance(layer, nn.Conv2d):
            reach += layer.kernel_size[0] // 2 / scale
    return math.ceil(reach) + 1


class Rows(Protocol):
    """An activation of which rows can be read."""

    @property
    def height(self) -> int:
        """Rows of the whole."""

    @property
    def width(self) -> int:
        """Columns."""

    def rows(self, first: int, last: int) -> Tensor:
        """The rows from `first` to before `last`, `[item, channel, row, column]`."""


@dataclass(frozen=True)
class Held:
    """An activation that is there."""

    whole: Tensor

    @property
    def height(self) -> int:
        return self.whole.shape[-2]

    @property
    def width(self) -> int:
        return self.whole.shape[-1]

    def rows(self, first: int, last: int) -> Tensor:
        return self.whole[..., first:last, :]


@dataclass(frozen=True)
class Convolved:
    """What a convolution of 3 x 3 makes of another."""

    source: Rows
    conv: nn.Conv2d

    @property
    def height(self) -> int:
        return self.source.height

    @property
    def width(self) -> int:
        return self.source.width

    def rows(self, first: int, last: int) -> Tensor:
        low, high = max(first - 1, 0), min(last + 1, self.height)
        return _convolved(self.conv, self.source.rows(low, high), low > first - 1, high < last + 1)


@dataclass(frozen=True)
class Doubled:
    """Another, each element repeated along both sides, and then convolved."""

    source: Rows
    conv: nn.Conv2d

    @property
    def height(self) -> int:
        return 2 * self.source.height

    @property
    def width(self) -> int:
        return 2 * self.source.width

    def rows(self, first: int, last: int) -> Tensor:
        low, high = max(first - 1, 0), min(last + 1, self.height)
        below = low // 2
        repeated = functional.interpolate(self.source.rows(below, -(-high // 2)), scale_factor=2.0, mode="nearest")
        seen = repeated[..., low - 2 * below : high - 2 * below, :]
        return _convolved(self.conv, seen, low > first - 1, high < last + 1)


@dataclass(frozen=True)
class Halved:
    """What a convolution in steps of two makes of another, with a row and a column of zeros after the last."""

    source: Rows
    conv: nn.Conv2d

    @property
    def height(self) -> int:
        return self.source.height // 2

    @property
    def width(self) -> int:
        return self.source.width // 2

    def rows(self, first: int, last: int) -> Tensor:
        high = min(2 * last + 1, self.source.height)
        seen = functional.pad(self.source.rows(2 * first, high), (0, 1, 0, 2 * last + 1 - high))
        return functional.conv2d(seen, self.conv.weight, self.conv.bias, stride=2)


@dataclass(frozen=True)
class Mapped:
    """Another, with each element mapped."""

    source: Rows
    map: Map

    @property
    def height(self) -> int:
        return self.source.height

    @property
    def width(self) -> int:
        return self.source.width

    def rows(self, first: int, last: int) -> Tensor:
        return self.map(self.source.rows(first, last))


@dataclass(frozen=True)
class Window:
    """Another, some rows of which were read.

    Args:
        seen: these rows, the first of which is number `first`.
        height: rows of the whole.
    """

    seen: Tensor
    first: int
    height: int

    @classmethod
    def on(cls, source: Rows, first: int, last: int) -> Window:
        """The rows from `first` to before `last`, where they lie in the whole."""
        low = max(first, 0)
        return cls(source.rows(low, min(last, source.height)), low, source.height)

    @property
    def width(self) -> int:
        return self.seen.shape[-1]

    def rows(self, first: int, last: int) -> Tensor:
        return self.seen[..., first - self.first : last - self.first, :]


def _through(resnet: Any, source: Rows, pixels: int) -> Held:
    """What a ResNet block makes of an activation, which is written over where the block keeps its channels."""
    spans = list(_spans(source, pixels))
    first = _activation(resnet.norm1, resnet.nonlinearity, source, spans)
    second = _activation(resnet.norm2, resnet.nonlinearity, Convolved(Mapped(source, first), resnet.conv1), spans)
    shortcut = resnet.conv_shortcut or nn.Identity()
    keeps = isinstance(source, Held) and resnet.conv_shortcut is None
    collected = Collected(source.height, source.whole if isinstance(source, Held) and keeps else None)
    for start, stop in spans:
        window = Window.on(source, start - 2, stop + 2)
        inner = Convolved(Mapped(window, first), resnet.conv1)
        outer = Convolved(Mapped(inner, second), resnet.conv2)
        made = shortcut(window.rows(start, stop)) + outer.rows(start, stop)
        collected.add(start, made / resnet.output_scale_factor)
    return Held(collected.whole())


def _finished(decoder: Any, source: Rows, pixels: int) -> Tensor:
    """The last layers of a decoder."""
    spans = list(_spans(source, pixels))
    last = Convolved(
        Mapped(source, _activation(decoder.conv_norm_out, decoder.conv_act, source, spans)), decoder.conv_out
    )
    collected = Collected(source.height)
    for start, stop in spans:
        collected.add(start, last.rows(start, stop))
    return collected.whole()


class Collected:
    """Strips put together into a whole.

    A strip is written when the next one is there, since that one may still read what it replaces.

    Args:
        height: rows of the whole.
        over: what is written over; None makes a new one.
    """

    def __init__(self, height: int, over: Tensor | None = None) -> None:
        self.height = height
        self.over = over
        self.waiting: tuple[int, Tensor] | None = None

    def add(self, start: int, strip: Tensor) -> None:
        """Take the rows that begin at `start`."""
        self._write()
        self.waiting = (start, strip)

    def whole(self) -> Tensor:
        """All strips."""
        self._write()
        assert self.over is not None
        return self.over

    def _write(self) -> None:
        if self.waiting is None:
            return
        start, strip = self.waiting
        if self.over is None:
            self.over = strip.new_empty((*strip.shape[:2], self.height, strip.shape[-1]))
        self.over[..., start : start + strip.shape[-2], :] = strip


def _spans(source: Rows, pixels: int) -> Iterator[tuple[int, int]]:
    """The first row of each strip, and that of the next."""
    rows = max(LEAST_ROWS, pixels // source.width)
    for start in range(0, source.height, rows):
        yield start, min(start + rows, source.height)


def _convolved(conv: nn.Conv2d, seen: Tensor, above: bool, below: bool) -> Tensor:
    """A convolution of 3 x 3 over rows that have their neighbours, but where the picture ends.

    Args:
        above: whether a row of zeros lies above them.
        below: whether a row of zeros lies below them.
    """
    padded = functional.pad(seen, (1, 1, int(above), int(below)))
    return functional.conv2d(padded, conv.weight, conv.bias)


def _activation(norm: nn.GroupNorm, activation: Map, source: Rows, spans: Sequence[tuple[int, int]]) -> Map:
    """Group normalisation by the statistics of a whole activation, and what follows it."""
    mean, variance = _statistics(source, spans, norm.num_groups)
    each = norm.num_channels // norm.num_groups
    scale = (variance + norm.eps).rsqrt().repeat_interleave(each, dim=1) * norm.weight.float()
    shift = norm.bias.float() - mean.repeat_interleave(each, dim=1) * scale

    def mapped(rows: Tensor) -> Tensor:
        normal = torch.addcmul(shift[..., None, None], rows.float(), scale[..., None, None])
        return activation(normal.to(rows.dtype))

    return mapped


def _statistics(source: Rows, spans: Sequence[tuple[int, int]], groups: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of each group of channels `[item, group]`, put together from those of strips.

    By the formula of Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances" (1979), equation 2.1.
    """
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for span in spans:
        rows = source.rows(*span)
        parts = rows.float().reshape(len(rows), groups, -1)
        number = parts.shape[-1]
        exact = torch.float32 if rows.device.type == "mps" else torch.float64  # which MPS does not have
        variance, here = (one.to(exact) for one in torch.var_mean(parts, dim=-1, correction=0))
        if not count:
            mean, squares = torch.zeros_like(here), torch.zeros_like(here)
        apart = here - mean
        squares = squares + variance * number + apart.square() * (count * number / (count + number))
        mean = mean + apart * (number / (count + number))
        count += number
    return mean.float(), (squares / count).float()
