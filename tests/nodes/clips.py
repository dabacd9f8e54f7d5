"""Small clips and sound, and what PyAV reads of their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy
import torch

from weft.engine import Artifact
from weft.nodes import (
    Audio,
    Video,
)


def clip(count: int = 9, width: int = 48, height: int = 32, rate: float = 12.0) -> Video:
    """Smooth colours that move."""
    down, across = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    pictures = [torch.stack([(across + n / count) % 1, down, 1 - down * across], -1) for n in range(count)]
    return Video((torch.stack(pictures) * 255).round().byte(), rate)


def tone(seconds: float = 0.75, rate: int = 16_000, channels: int = 1) -> Audio:
    times = torch.arange(round(seconds * rate)) / rate
    return Audio(torch.stack([0.5 * torch.sin(2 * torch.pi * 440 * (n + 1) * times) for n in range(channels)]), rate)


def file_of(artifact: Artifact, folder: Path) -> Path:
    return artifact.save(folder)


def decoded(path: Path) -> tuple[numpy.ndarray[Any, Any], float, Any]:
    """The frames, the rate and the sound that PyAV reads."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = numpy.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
        rate = float(stream.average_rate or 0)
    with av.open(str(path)) as container:
        sound = [frame.to_ndarray() for frame in container.decode(audio=0)] if container.streams.audio else []
    return frames, rate, numpy.concatenate(sound, 1) if sound else None
