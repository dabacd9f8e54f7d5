"""Where the weights of a network lie in the tensors of its file, so that changed weights are written in its layout.

Layouts join what diffusers has apart, and order it otherwise. What renames a file's tensors gives views of most of
them, which say where each weight is. For the others it is run again on the numbers of elements.

Imports torch: only the writer of merged files imports this module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.tensor_sources import Rename, sourced_names


@dataclass(frozen=True, eq=False)
class Place:
    """Where a weight lies in a tensor of a file.

    Args:
        weight: its name.
        view: the view of the tensor that it is, as size, strides and offset; None where it is none.
        elements: gives the number of each of its elements in the tensor, where it is no view.
    """

    weight: str
    view: tuple[tuple[int, ...], tuple[int, ...], int] | None
    elements: Callable[[], Tensor] | None = None

    def put(self, value: Tensor, into: Tensor) -> None:
        """Write a value of the weight to its place in a contiguous tensor."""
        if self.view is not None:
            into.as_strided(*self.view).copy_(value)
        elif self.elements is not None:
            numbers = self.elements().flatten()
            own = numbers >= 0
            into.view(-1)[numbers[own]] = value.flatten().to(into.dtype)[own]


def places(tensors: Mapping[str, Tensor], rename: Rename) -> dict[str, list[Place]]:
    """The weights that lie in each tensor of a file, by the name of the tensor.

    Args:
        tensors: each in memory, or a map, of its own.
        rename: called with all of them.
    """
    found: dict[str, list[Place]] = {}
    owners = {tensor.untyped_storage().data_ptr(): name for name, tensor in tensors.items() if tensor.numel()}
    copied = []
    for weight, value in rename(dict(tensors)).items():
        owner = owners.get(value.untyped_storage().data_ptr())
        if owner is None:
            copied.append(weight)
            continue
        start = int(value.storage_offset() - tensors[owner].storage_offset())
        found.setdefault(owner, []).append(Place(weight, (tuple(value.shape), value.stride(), start)))
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for weight, sources in sourced_names(shapes, rename, copied).items():
        for source in sources:
            elements = _numbers_of(source, weight, sources, shapes, rename)
            found.setdefault(source, []).append(Place(weight, None, elements))
    return found


def _numbers_of(
    source: str, weight: str, sources: Collection[str], shapes: Shapes, rename: Rename
) -> Callable[[], Tensor]:
    """What gives the number of each of a weight's elements in a tensor that it was copied from; -1 for others.

    Args:
        sources: all tensors that it was copied from.
    """

    def numbers() -> Tensor:
        given = {name: torch.empty(shape, device="meta", dtype=torch.int64) for name, shape in shapes.items()}
        given |= {name: torch.full(shapes[name], -1, dtype=torch.int64) for name in sources}
        given[source] = torch.arange(given[source].numel()).reshape(shapes[source])
        return rename(given)[weight]

    return numbers


def matched(weights: Collection[str], named: Iterable[str], aliases: Mapping[str, str]) -> dict[str, str]:
    """The weight that each renamed tensor is, where libraries put other words in front of the names of their own.

    Args:
        weights: the names that a network has.
        named: the names of the tensors.
        aliases: further names of weights, by name.
    """
    known = {**{name: name for name in weights}, **aliases}
    found: dict[str, list[tuple[str, str]]] = {}
    for name in named:
        plain = name.replace("text_model.", "")
        for own in known:
            other = own.replace("text_model.", "")
            if plain == other or plain.endswith(f".{other}"):
                found.setdefault(own, []).append((plain[: len(plain) - len(other)], name))
    usual = Counter(prefix for ones in found.values() for prefix, _ in ones).most_common(1)
    prefix = usual[0][0] if usual else ""
    chosen = {own: next((name for one, name in ones if one == prefix), ones[0][1]) for own, ones in found.items()}
    return {name: known[own] for own, name in chosen.items()}
