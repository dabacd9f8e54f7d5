"""Contact sheets: many pictures in one PNG."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

__all__ = ["save_grid"]


def save_grid(pictures: Tensor, file: Path, columns: int, gap: int = 2) -> None:
    """Write pictures in -1..1 `[count, 3, height, width]`, row by row, with white between them."""
    count, channels, height, width = pictures.shape
    rows = -(-count // columns)
    sheet = torch.ones(channels, rows * (height + gap) - gap, columns * (width + gap) - gap)
    for index, picture in enumerate(pictures.float().cpu()):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[:, top : top + height, left : left + width] = picture
    pixels = (sheet.clamp(-1, 1) * 127.5 + 128).clamp(0, 255).byte().permute(1, 2, 0).numpy()
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)
