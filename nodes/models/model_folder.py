"""What may lie in a model's folder, which somebody else made: checked before any file of it is read.

The rule for links: a file or folder of a model may be a link if what it leads to lies in a folder that the run may
read, or within the model's own repository in the hub's cache, where every snapshot links to its blobs. An index names
weights of its own folder. Configurations, tokenizers and weights are regular files of a bounded size. Imports no torch.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from weft.engine import InputError, inside, listed
from weft.nodes.models.diffusers_folder import LARGEST_INDEX, WEIGHTS, belongs, read_config
from weft.nodes.models.safetensors_header import PICKLES

INDEX = ".safetensors.index"
"""What the names of indices have, `model.safetensors.index.json` or with a variant."""

ADAPTER = "adapter_config.json"
"""A file by which transformers loads another model, from wherever it says, and changes it."""


def check_folder(root: Path, folders: tuple[Path, ...]) -> None:
    """Check every file of a model's folder that could be read, in it and in the folders of its components.

    Args:
        folders: those that the run may read, besides the model's own.

    Raises:
        InputError: for a link that leads elsewhere, a pipe or a device, and an index that names anything but weights.
    """
    for folder in (root, *_components(root)):
        check_component(folder, (*folders, root))


def check_component(folder: Path, folders: tuple[Path, ...]) -> None:
    """Check the files of one folder, as `check_folder` does."""
    allowed = (*folders, *_repository(folder), *_repository(folder.parent))
    _check_inside(folder, Path(os.path.realpath(folder)), allowed)
    for entry in _entries(folder):
        if belongs(entry.name) or entry.name.endswith(".safetensors"):
            _check_file(entry, allowed)
    if os.path.lexists(folder / ADAPTER):
        raise InputError(
            f"`{folder.name}/{ADAPTER}` belongs to a PEFT adapter, which changes another model",
            "give the folder of the model itself; LoadLoRA loads the adapter",
            "wrong-kind-of-file",
        )


def _repository(root: Path) -> tuple[Path, ...]:
    """The repository of a snapshot in the hub's cache: `models--ORG--NAME`, two folders above the snapshot."""
    above = root.parent.parent
    return (above,) if root.parent.name == "snapshots" and above.name.startswith("models--") else ()


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            yield from sorted(found, key=lambda entry: entry.name)
    except NotADirectoryError:
        return


def _components(root: Path) -> Iterator[Path]:
    """The folders in a model's folder that have a configuration or a tokenizer."""
    for entry in _entries(root):
        if entry.is_dir():
            folder = root / entry.name
            names = ("config.json", "scheduler_config.json")
            if entry.name.startswith("tokenizer") or any(os.path.lexists(folder / name) for name in names):
                yield folder


def _check_file(entry: os.DirEntry[str], allowed: tuple[Path, ...]) -> None:
    """Check one file of a component."""
    path = Path(entry.path)
    if entry.is_symlink():
        _check_inside(path, Path(os.path.realpath(path)), allowed)
    elif entry.is_dir():
        return
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InputError(
            f"`{path.parent.name}/{path.name}` is a link to a file that is not there",
            "get the model's folder again",
            "missing-weights" if path.suffix == ".safetensors" else "damaged-file",
        ) from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(
            f"`{path.parent.name}/{path.name}` is a pipe, a socket or a device, expected a file",
            "get the model's folder again",
            "wrong-kind-of-file",
        )
    if INDEX in path.name and path.suffix == ".json":
        check_index(path)


def _check_inside(path: Path, real: Path, allowed: tuple[Path, ...]) -> None:
    if not inside(real, allowed):
        raise InputError(
            f"`{path.parent.name}/{path.name}` leads to {real}, outside the folders that this run may read: "
            f"{listed(map(str, allowed))}",
            f"name the folder that it leads to with --models {real if real.is_dir() else real.parent}",
            "outside-folders",
        )


def check_index(path: Path) -> None:
    """Check the index of weights in several files.

    Raises:
        InputError: where it is none, or names anything but files of weights in its own folder.
    """
    shards = read_config(path, LARGEST_INDEX).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise InputError(
            f"`{path.parent.name}/{path.name}` is no index of weights", "get the model's folder again", "damaged-file"
        )
    for name in sorted(set(shards.values())):
        if not WEIGHTS.fullmatch(name):
            raise InputError(
                f"`{path.parent.name}/{path.name}` names {name!r} as a file of weights, expected one in its own folder "
                "such as `model-00001-of-00002.safetensors`",
                "get the model's folder again; only safetensors with their usual names are read",
                "pickle-refused" if Path(name).suffix.lower() in PICKLES else "outside-folders",
            )
