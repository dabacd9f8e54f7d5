"""Which tensors of a file a loaded module is made of: the renaming is run again on tensors without data.

Imports torch: only loaders import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from weft.nodes.models.safetensors_header import Shapes

Rename = Callable[[dict[str, Tensor]], dict[str, Tensor]]
"""Gives a file's tensors the names of a module."""


class SourcedTensor(Tensor):
    """A tensor of the meta device that knows the names of the tensors that it is made of."""

    sources: frozenset[str] = frozenset()

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        inherited: Any = super().__torch_function__
        result = inherited(function, types, args, dict(kwargs or {}))
        found = (one.sources for one in tree_leaves((args, kwargs)) if isinstance(one, SourcedTensor))
        sources = frozenset[str]().union(*found)

        def sourced(item: Any) -> Any:
            if isinstance(item, SourcedTensor):
                item.sources = sources
            return item

        return tree_map(sourced, result)


def used_names(shapes: Shapes, renamed: Rename, wanted: Collection[str]) -> set[str]:
    """The names of the tensors that a module is made of.

    Args:
        shapes: of a file's tensors.
        renamed: gives a file's tensors the names of the module.
        wanted: the names that the module has.
    """
    return {source for sources in sourced_names(shapes, renamed, wanted).values() for source in sources}


def sourced_names(shapes: Shapes, renamed: Rename, wanted: Collection[str]) -> dict[str, frozenset[str]]:
    """The names of the tensors that each tensor of a module is made of; those that are made of none are left out.

    Args:
        shapes: of a file's tensors.
        renamed: gives a file's tensors the names of the module.
        wanted: the names that the module has.
    """
    given: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        one = torch.empty(shape, device="meta", dtype=torch.float32).as_subclass(SourcedTensor)
        one.sources = frozenset({name})
        given[name] = one
    found = renamed(given)
    parts = {name: found[name] for name in wanted if name in found}
    return {name: part.sources for name, part in parts.items() if isinstance(part, SourcedTensor)}
