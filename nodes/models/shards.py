"""Weights that are cut into shards: every shard that the index names must be there, with the tensors that it names.

Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from weft.engine import InputError, listed
from weft.nodes.models.diffusers_folder import read_config

NUMBER = re.compile(r"-(\d{5})-of-(\d{5})(?=\.)")

MOST_NAMED = 3
"""Names that a message lists."""


def check_shards(folder: Path, variant: str, held: Mapping[str, Collection[str]]) -> None:
    """Raise `InputError` where shards of a component's weights are missing, or lack tensors.

    Args:
        variant: of the weights; empty for the plain ones.
        held: the names of the tensors in each file of the variant, by the file's name.
    """
    if not all(NUMBER.search(name) for name in held):
        return  # a file with all weights
    index = next((path for path in _indices(folder, variant) if path.is_file()), None)
    if index is None:
        _refuse(folder, _missing_numbers(held), "shards")
        raise InputError(
            f"`{folder.name}` has shards of weights and no index of them",
            "get the whole folder again",
            "missing-weights",
        )
    places = _places(index)
    _refuse(folder, sorted({*places.values()} - held.keys()), "shards")
    _refuse(folder, sorted(name for name, file in places.items() if name not in held[file]), "weights")


def _indices(folder: Path, variant: str) -> Iterable[Path]:
    """Where libraries write the index of a variant."""
    ending = f"{variant}.json" if variant else "json"
    return (folder / f"{stem}.safetensors.index.{ending}" for stem in ("diffusion_pytorch_model", "model"))


def _places(index: Path) -> Mapping[str, str]:
    """The file of each tensor, by the tensor's name.

    Raises:
        InputError: where the index says none.
    """
    places: Any = read_config(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise InputError(
            f"`{index.parent.name}/{index.name}` has no `weight_map`", "get the file again", "damaged-file"
        )
    return places


def _missing_numbers(held: Iterable[str]) -> list[str]:
    """The names of shards that the numbers of the others tell of."""
    missing = []
    for name in sorted(held):
        match = NUMBER.search(name)
        count = int(match[2]) if match else 0
        names = (NUMBER.sub(f"-{number:05}-of-{count:05}", name) for number in range(1, count + 1))
        missing += [one for one in names if one not in held and one not in missing]
        if len(missing) > MOST_NAMED:
            break
    return missing


def _refuse(folder: Path, missing: list[str], what: str) -> None:
    if missing:
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        raise InputError(
            f"{what} of `{folder.name}` are missing: {listed(missing[:MOST_NAMED])}{more}",
            "get the whole folder again",
            "missing-weights",
        )
