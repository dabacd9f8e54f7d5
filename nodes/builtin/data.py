"""The training pictures: drawn once into the work folder, then read through a memory map by every stage."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .render import render
from .scene import Scene, draw_scene
from .shapes import SIZE

__all__ = ["Dataset", "draw_dataset", "draw_scenes", "to_tensor"]


@dataclass(frozen=True)
class Dataset:
    """Scenes with their pictures, uint8 `[count, 128, 128, 3]`."""

    scenes: tuple[Scene, ...]
    pixels: npt.NDArray[np.uint8]

    def batch(self, size: int, generator: np.random.Generator) -> tuple[list[Scene], Tensor]:
        """`size` scenes drawn with replacement and their pictures, float32 `[size, 3, 128, 128]` in -1..1."""
        rows = generator.integers(len(self.scenes), size=size)
        return [self.scenes[row] for row in rows], self.pictures(rows)

    def pictures(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """The pictures at `rows`, float32 `[len(rows), 3, 128, 128]` in -1..1."""
        return to_tensor(self.pixels[rows])


def draw_scenes(count: int, seed: int) -> tuple[Scene, ...]:
    """`count` scenes from one seed; the first ones do not depend on `count`."""
    generator = np.random.default_rng(seed)
    return tuple(draw_scene(generator) for _ in range(count))


def draw_dataset(work: Path, count: int, seed: int) -> Dataset:
    """The pictures of `draw_scenes(count, seed)`: read from `work`, or drawn on every core (7 ms each) and kept."""
    scenes = draw_scenes(count, seed)
    file = work / f"pictures-{count}-{seed}.npy"
    if not file.exists():
        _write_pictures(file, scenes)
    return Dataset(scenes, np.load(file, mmap_mode="r"))


def to_tensor(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """uint8 `[batch, height, width, 3]` to float32 `[batch, 3, height, width]` in -1..1, channels last in memory."""
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(
        memory_format=torch.channels_last
    )


def _write_pictures(file: Path, scenes: Sequence[Scene]) -> None:
    partial = file.with_suffix(".partial.npy")
    pixels = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(scenes), SIZE, SIZE, 3))
    parts = [scenes[start : start + 64] for start in range(0, len(scenes), 64)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for row, drawn in enumerate(chain.from_iterable(pool.map(_render_all, parts))):
            pixels[row] = drawn
    pixels.flush()
    partial.rename(file)


def _render_all(scenes: Sequence[Scene]) -> list[npt.NDArray[np.uint8]]:
    return [render(scene).pixels for scene in scenes]
