"""Checkpoints like the tiny ones with other weights, for tests of merges."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import torch
from safetensors.torch import load_file, save_file

from tests.nodes.families.single_files import SINGLE_FILES


def with_other_weights(models: Path, name: str) -> str:
    """A checkpoint like a tiny one with other weights, in the same form; its name."""
    stem, _, ending = name.partition(".")
    folder, file = models / f"{stem}-other", models / f"{stem}-other.safetensors"
    if not folder.exists():
        copytree(models / stem, folder)
        numbers = torch.Generator().manual_seed(1)
        for path in folder.glob("*/*.safetensors"):
            found = {key: one for key, one in load_file(path).items() if one.is_floating_point()}
            noise = {key: 0.05 * torch.randn(one.shape, generator=numbers) for key, one in found.items()}
            save_file({key: one + noise[key].to(one.dtype) for key, one in found.items()}, path, {"format": "pt"})
    if ending and not file.exists():
        save_file(SINGLE_FILES[stem](folder), file)
    return file.name if ending else folder.name
