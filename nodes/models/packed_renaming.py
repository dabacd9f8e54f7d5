"""Giving packed weights the names of a network, by what renames the tensors of its layout.

Layouts split what the authors join, and put rows in another order; they do not look into rows. So the renaming is run
on the numbers of rows, which tell where those of each packed weight go. Imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from weft.nodes.models.packed_weights import PackedNumbers
from weft.nodes.models.tensor_sources import Rename, sourced_names

Weights = dict[str, Tensor | PackedNumbers]
"""By name, those that are packed among others."""

_NUMBERS = torch.int32
"""The type of the numbers of rows, which no weight has."""


def renamed_weights(found: Weights, rename: Rename, dtype: torch.dtype) -> Weights:
    """The weights of a file under the names of a network.

    Args:
        rename: called with tensors alone.
        dtype: of packed weights that do not stay so: of which the layout changes more than the order of rows.
    """
    packed = {name: one for name, one in found.items() if isinstance(one, PackedNumbers)}
    if not packed:
        return {**rename({name: one for name, one in found.items() if isinstance(one, Tensor)})}
    shapes = {name: tuple(one.shape) for name, one in found.items()}
    given, owners = _numbered(found)
    renamed: Weights = {}
    left = []
    for name, tensor in rename(given).items():
        one = _owned(tensor, owners) if tensor.dtype is _NUMBERS else tensor
        if one is None:
            left.append(name)
        else:
            renamed[name] = one
    if left:
        sources = {source for names in sourced_names(shapes, rename, left).values() for source in names}
        wide: Weights = {
            name: one.unpacked(dtype) if name in sources and isinstance(one, PackedNumbers) else one
            for name, one in found.items()
        }
        return renamed_weights(wide, rename, dtype)
    return renamed


def _numbered(found: Mapping[str, Tensor | PackedNumbers]) -> tuple[dict[str, Tensor], list[tuple[int, PackedNumbers]]]:
    """Tensors as they are and the numbers of rows for packed weights, with the first number of each of these."""
    owners: list[tuple[int, PackedNumbers]] = []
    given: dict[str, Tensor] = {}
    start = 0
    for name, one in found.items():
        if isinstance(one, Tensor):
            given[name] = one
            continue
        rows = torch.arange(start, start + one.shape[0], dtype=_NUMBERS)
        given[name] = rows.reshape(-1, *[1] * (len(one.shape) - 1)).expand(one.shape)
        owners.append((start, one))
        start += one.shape[0]
    return given, owners


def _owned(numbers: Tensor, owners: list[tuple[int, PackedNumbers]]) -> PackedNumbers | None:
    """The rows of a packed weight that a renamed tensor has; None where it is not made of whole rows of one."""
    rows = numbers.flatten(1)
    first = rows[:, 0]
    start, owner = next(one for one in reversed(owners) if one[0] <= int(first[0]))
    own = first - start
    whole = numbers.shape[1:] == torch.Size(owner.shape[1:]) and bool(((own >= 0) & (own < owner.shape[0])).all())
    same = numbers.stride()[1:] == (0,) * (numbers.ndim - 1) or bool((rows == first[:, None]).all())
    if not (whole and same):
        return None
    begin = int(own[0])
    if torch.equal(own, torch.arange(begin, begin + len(own), dtype=_NUMBERS)):
        return owner if len(own) == owner.shape[0] else owner.rows(slice(begin, begin + len(own)))
    return owner.rows(own.long())
