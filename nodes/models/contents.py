"""What names and headers say about a folder or a file of weights. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft.nodes.models import diffusers_folder
from weft.nodes.models.quantised_weights import is_scale, refuse_quantised, without_scales
from weft.nodes.models.safetensors_header import Shapes, read_header, read_numbers

MARKS = ("edm_vpred.sigma_min", "edm_vpred.sigma_max", "edm_mean", "edm_std")
"""Tensors whose numbers say how a model was trained."""

MARK_PREFIXES = ("", "model.diffusion_model.", "diffusion_model.")
"""What the names of such tensors may begin with: some tools write them among those of the UNet."""


@dataclass(frozen=True)
class Contents:
    """The configurations of a diffusers folder, or the shapes of a single file.

    Args:
        configs: the JSON configuration of each component of a diffusers folder, by component; that of a folder with one
            component is under the empty name.
        shapes: the shape of each tensor of a single file, by name; scales of weights are left out.
        metadata: the texts in the header of a single file, by name.
        halves: the names of both files, where decoder and encoder of a tiny autoencoder are in a file each.
        scaled: whether weights of a single file have scales.
        numbers: those of tensors of a single file that say how it was trained (`MARKS`), by name.
        index: what `model_index.json` of a diffusers folder says.
        left_out: components that have a folder and no configuration here, since the index has them as null.
        read: what was worked out from the shapes, by what it was asked for, so that it is worked out once.
    """

    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shapes: Shapes = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    scaled: bool = False
    halves: tuple[str, ...] = ()
    index: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    read: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, root: Path) -> Contents:
        """The contents of a folder or of a safetensors file.

        Raises:
            InputError: where it is damaged, a pickle, or quantised in a way that is not read.
        """
        if root.is_dir():
            index, found = diffusers_folder.index(root), diffusers_folder.configs(root)
            null = tuple(name for name in found if index.get(name) == [None, None])
            kept = {name: config for name, config in found.items() if name not in null}
            return cls(configs=kept, index=index, left_out=null)
        header = read_header(root)
        refuse_quantised(root.name, header)
        placed = read_numbers(root, header, (prefix + mark for mark in MARKS for prefix in MARK_PREFIXES))
        numbers = {mark: placed[prefix + mark] for prefix in MARK_PREFIXES for mark in MARKS if prefix + mark in placed}
        scaled = any(map(is_scale, header.shapes))
        return cls(shapes=without_scales(header.shapes), metadata=header.metadata, numbers=numbers, scaled=scaled)

    def has(self, *components: str) -> bool:
        """Whether this is a folder with these components."""
        return self.configs.keys() >= set(components)

    def class_of(self, component: str) -> str:
        """The class that a component of a folder names in its configuration; empty where it names none."""
        return str(self.configs.get(component, {}).get("_class_name", ""))

    def marked(self, name: str) -> bool:
        """Whether this is a file with a tensor that says how its UNet was trained."""
        return any(prefix + name in self.shapes for prefix in MARK_PREFIXES)
