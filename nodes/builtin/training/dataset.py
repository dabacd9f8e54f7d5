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

from .coverage import SIZE
from .render import LABELS, Picture, render
from .scene import Scene, draw_scene

__all__ = ["Dataset", "draw_dataset", "draw_scenes", "to_tensor"]


_EMPHASIS = np.array([3 if name in ("sun", "tree", "house", "boat") else 1 for name in LABELS], np.float32)
"""The weight of a pixel by its label: otherwise an autoencoder learns small objects last."""


@dataclass(frozen=True)
class Dataset:
    """Scenes with their pictures, uint8 `[count, 128, 128, 3]`, and label maps, uint8 `[count, 128, 128]`."""

    scenes: tuple[Scene, ...]
    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]

    def draw_rows(self, size: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
        """`size` rows drawn with replacement."""
        return generator.integers(len(self.scenes), size=size)

    def pictures(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """The pictures at `rows`, float32 `[len(rows), 3, 128, 128]` in -1..1."""
        return to_tensor(self.pixels[rows])

    def weights(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """How much each pixel counts, float32 `[len(rows), 1, 128, 128]`: subjects and lamps three times."""
        return torch.from_numpy(_EMPHASIS[self.labels[rows]])[:, None]


def draw_scenes(count: int, seed: int) -> tuple[Scene, ...]:
    """`count` scenes from one seed; the first ones do not depend on `count`."""
    generator = np.random.default_rng(seed)
    return tuple(draw_scene(generator) for _ in range(count))


def draw_dataset(work: Path, count: int, seed: int) -> Dataset:
    """The pictures of `draw_scenes(count, seed)`: read from `work`, or drawn on every core (7 ms each) and kept."""
    scenes = draw_scenes(count, seed)
    pixels, labels = (work / f"{kind}-{count}-{seed}.npy" for kind in ("pixels", "labels"))
    if not labels.exists():
        _write_pictures(pixels, labels, scenes)
    return Dataset(scenes, np.load(pixels, mmap_mode="r"), np.load(labels, mmap_mode="r"))


def to_tensor(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """uint8 `[batch, height, width, 3]` to float32 `[batch, 3, height, width]` in -1..1, channels last in memory."""
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(
        memory_format=torch.channels_last
    )


def _write_pictures(pixels: Path, labels: Path, scenes: Sequence[Scene]) -> None:
    """Write both files, the label maps last: where they are, both are whole."""
    whole = np.lib.format.open_memmap(pixels, "w+", np.uint8, (len(scenes), SIZE, SIZE, 3))
    maps = np.empty((len(scenes), SIZE, SIZE), np.uint8)
    parts = [scenes[start : start + 64] for start in range(0, len(scenes), 64)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for row, drawn in enumerate(chain.from_iterable(pool.map(_render_all, parts))):
            whole[row], maps[row] = drawn.pixels, drawn.labels
    whole.flush()
    partial = labels.with_suffix(".partial.npy")
    np.save(partial, maps)
    partial.rename(labels)


def _render_all(scenes: Sequence[Scene]) -> list[Picture]:
    return [render(scene) for scene in scenes]
