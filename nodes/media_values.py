"""Clips and sound, as they cross links."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, Limits, check_pixels, value
from weft.nodes.value_checks import check_tensor

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Image


@value
@dataclass(frozen=True, eq=False)
class Audio:
    """Sound.

    Args:
        samples: `[channel, sample]`, in -1..1.
        rate: samples a second.
    """

    samples: Tensor
    rate: int

    def check_value(self) -> None:
        """Raise `InputError` for samples of another shape or type, and for a rate that is no number above 0."""
        check_tensor("the samples of an Audio", self.samples, ("channel", "sample"))
        check_rate("an Audio", self.rate)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.samples.shape[1] / self.rate

    def __repr__(self) -> str:
        return f"Audio({self.seconds:.2f} s, {self.samples.shape[0]} channels, {self.rate:,} Hz)"


@value
@dataclass(frozen=True, eq=False)
class Video:
    """A clip. Its frames have a byte for each colour, so that a long one is a quarter of a batch of pictures.

    Args:
        frames: `[frame, height, width, 3]`, bytes.
        rate: frames a second.
        audio: the sound that belongs to it; None where there is none.
    """

    frames: Tensor
    rate: float
    audio: Audio | None = field(default=None, repr=False)

    def check_value(self) -> None:
        """Raise `InputError` for frames of another shape or type, and for a rate that is no number above 0."""
        check_frames(self.frames)
        check_rate("a Video", self.rate)

    def check_limits(self, limits: Limits) -> None:
        """Raise `InputError` for frames that are larger than the limits allow; there may be as many as fit them."""
        count, height, width, _ = self.frames.shape
        check_pixels(width, height * count, 1, limits)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.frames) / self.rate

    def images(self) -> Image:
        """Its frames as a batch of pictures."""
        from weft.nodes.values import Image

        return Image(self.frames.float() / 255)

    def __repr__(self) -> str:
        count, height, width, _ = self.frames.shape
        sound = ", with sound" if self.audio else ""
        return f"Video({count} frames of {width} x {height}, {self.rate:g} a second{sound})"


def check_frames(found: Any) -> None:
    """Raise `InputError` unless these are bytes `[frame, height, width, 3]` on the CPU."""
    import torch

    shape: tuple[int, ...] = tuple(getattr(found, "shape", ()))
    sound = isinstance(found, torch.Tensor) and found.dtype == torch.uint8 and found.device.type == "cpu"
    if not sound or len(shape) != 4 or shape[3] != 3 or 0 in shape:
        kind = f"{found.dtype} {list(shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
        raise InputError(
            f"the frames of a Video are {kind}, expected bytes [frame, height, width, 3] on the CPU",
            "convert them: (frames.clamp(0, 1) * 255).round().byte()",
            "wrong-tensor",
        )


def check_rate(what: str, rate: Any) -> None:
    """Raise `InputError` unless this is a number above 0."""
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < float("inf"):
        raise InputError(
            f"the rate of {what} is {rate!r}, expected a number above 0", "give it in a second", "out-of-range"
        )
