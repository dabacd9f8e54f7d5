"""Tiny random checkpoints of every family, each made once a session with those of SD 1.x."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.nodes.families.image_adapters import FOLDERS, add_image_adapters, xlabs_adapter
from tests.nodes.families.single_files import SINGLE_FILES
from tests.nodes.families.tiny import PIPELINES
from tests.nodes.oracle import diffusers

Zoo = Callable[[str], str]


@pytest.fixture(scope="session")
def zoo(models: Path) -> Zoo:
    """Put a checkpoint into the models folder, where it is not there yet; its name. `NAME.safetensors` is one file.

    Weights are in half precision, as they are published. So they are copied when they are loaded; what is mapped from a
    file as it stands may be rounded otherwise where the file has it at another alignment.
    """

    def give(name: str) -> str:
        stem = name.removesuffix(".safetensors")
        if not (models / stem).exists():
            torch.manual_seed(0)
            PIPELINES[stem]().to(torch.float16).save_pretrained(models / stem)
        if stem != name and not (models / name).exists():
            save_file(SINGLE_FILES[stem](models / stem), models / name)
        return name

    return give


@pytest.fixture(scope="session")
def adapters(models: Path, zoo: Zoo) -> Path:
    """The models folder with an image encoder and adapters of each kind for each family."""
    add_image_adapters(models, {"sd1": "epsilon", "sdxl": zoo("sdxl")})
    transformer = diffusers.FluxTransformer2DModel.from_pretrained(models / zoo("flux-dev"), subfolder="transformer")
    save_file(xlabs_adapter(transformer, 3), models / "xlabs.safetensors")
    return models


Folders = Callable[[str], str]


@pytest.fixture(scope="session")
def folders(models: Path) -> Folders:
    """Put a folder of a pipeline that reads pictures or places into the models folder, once; its name."""

    def give(name: str) -> str:
        if not (models / name).exists():
            FOLDERS[name](models / name)
        return name

    return give
