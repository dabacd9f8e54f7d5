"""Model folders in the diffusers layout: which files belong to one, their configuration, and variants of weights.

A weights file is `NAME.safetensors` or, for a variant such as fp16, `NAME.fp16.safetensors`; large ones are cut into
shards with an index. Imports no torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weft.engine import InputError
from weft.engine.regular_file import read_regular
from weft.nodes.models.safetensors_header import PICKLES, refuse_pickle
from weft.nodes.models.scheduler_entries import check_entries

LARGEST_CONFIG = 2**22
"""Bytes of a configuration that is read."""

LARGEST_INDEX = 2**24
"""Bytes of an index; that of the largest models has some megabytes."""

MOST_LAYERS = 1000
"""The most layers or blocks that a configuration may ask for."""

CONFIGURATIONS = frozenset({".jinja", ".json", ".model", ".txt"})
"""The endings of configurations and of the files of tokenizers; `spiece.model` is T5's vocabulary."""

WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|model)(?:-\d{5}-of-\d{5})?(?:\.(?P<variant>\w+))?(?:-\d{5}-of-\d{5})?\.safetensors"
)
"""The file names of weights; diffusers and transformers put the number of a shard in different places."""


def read_config(path: Path, most: int = LARGEST_CONFIG) -> Mapping[str, Any]:
    """A JSON configuration of at most so many bytes.

    Raises:
        InputError: where the file is missing or no JSON object.
    """
    try:
        config = json.loads(read_regular(path, most), parse_constant=_constant)
    except OSError as fault:
        raise InputError(
            f"`{path.parent.name}/{path.name}` cannot be read: {fault.strerror}", "restore it", "unreadable-resource"
        ) from None
    except (ValueError, RecursionError):
        config = None
    if isinstance(config, dict):
        _check_depth(path, config)
    if not isinstance(config, dict):
        raise InputError(
            f"`{path.parent.name}/{path.name}` is no JSON object", "restore the model's own file", "damaged-file"
        )
    return config


def _constant(name: str) -> float:
    """A number that JSON has no word for: schedulers have infinities; not-a-number would differ from itself.

    Raises:
        ValueError: for `NaN`.
    """
    if name == "NaN":
        raise ValueError(name)
    return float(name.replace("Infinity", "inf"))


def index(root: Path) -> Mapping[str, Any]:
    """What `model_index.json` says; nothing where there is none."""
    path = root / "model_index.json"
    return read_config(path) if path.is_file() else {}


def _check_depth(path: Path, config: Mapping[str, Any]) -> None:
    """Raise `InputError` where a configuration asks for a network that would take for ever to make."""
    for name, found in config.items():
        count = found if isinstance(found, int | float) else len(found) if isinstance(found, list) else 0
        if count > MOST_LAYERS and ("layers" in name or "blocks" in name):
            raise InputError(
                f"`{path.parent.name}/{path.name}` says {count} for `{name}`, over {MOST_LAYERS}",
                "restore the model's own file",
                "damaged-file",
            )


def configs(root: Path) -> dict[str, Mapping[str, Any]]:
    """The configuration of each component, by the name of its folder; that of `root` itself under the empty name."""
    found = {path.parent.name: path for path in sorted(root.glob("*/config.json"))}
    found |= {path.parent.name: path for path in sorted(root.glob("scheduler/scheduler_config.json"))}
    if (root / "config.json").is_file():
        found[""] = root / "config.json"
    read = {component: read_config(path) for component, path in found.items()}
    if "scheduler" in found:
        check_entries(f"scheduler/{found['scheduler'].name}", read["scheduler"])
    return read


def component(root: Path, name: str) -> Path:
    """The folder of a component: one in a model's folder, or `root` itself where that is one component alone."""
    return root if (root / "config.json").is_file() else root / name


def content(root: Path, components: tuple[str, ...]) -> tuple[Path, ...]:
    """Every file of the components that decides what they are, in a stable order."""
    folders = [root / component for component in components]
    files = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    return tuple(path for path in files if path.is_file() and belongs(path.name))


def belongs(name: str) -> bool:
    """Whether a file of this name in a component's folder decides what the component is."""
    return Path(name).suffix in CONFIGURATIONS or WEIGHTS.fullmatch(name) is not None


def weights(folder: Path) -> dict[str, list[Path]]:
    """The weights files of a component by variant; the plain ones under the empty name.

    Raises:
        InputError: where there are none, saying so of pickles.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        match = WEIGHTS.fullmatch(path.name)
        if match:
            found.setdefault(match["variant"] or "", []).append(path)
    if not found:
        for path in sorted(folder.iterdir()):
            if path.suffix in PICKLES:
                refuse_pickle(path)
        raise InputError(f"`{folder.name}` has no safetensors file", "get the whole folder again", "missing-weights")
    return found


def component_variant(folder: Path, wanted: str) -> str | None:
    """The variant of a component's weights to load: the wanted one, else the plain ones, else the only one there is.

    None means the plain ones, as diffusers and transformers have it.
    """
    found = weights(folder)
    if wanted in found:
        return wanted or None
    return None if "" in found else min(found)
