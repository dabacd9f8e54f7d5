"""The size of a weight that a layer of a LoRA changes, from the shapes of its tensors; none where these do not fit.

Tensors are named by their roles (`weft.nodes.models.lora_file`). Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

Shape = tuple[int, ...]

Roles = Mapping[str, Shape]
"""Shapes of tensors, by their roles."""


class WeightSize(NamedTuple):
    """The size of a weight.

    Args:
        channels: that it reads; for a change that has a row in one piece, the elements of the row.
        kernel: its sides; empty for a linear layer, and where the change has a row in one piece.
    """

    rows: int
    channels: int
    kernel: Shape = ()

    @property
    def columns(self) -> int:
        """Elements of a row."""
        return self.channels * math.prod(self.kernel)


def weight_size(form: str, found: Roles) -> WeightSize | None:
    """The size of the weight that tensors change; None where they do not fit each other.

    Args:
        form: `lora`, `loha`, `lokr`, `diff` or `norm`.
    """
    size = {"lora": _lora, "loha": _loha, "lokr": _lokr, "diff": _difference, "norm": _norm}[form](found)
    return size if size and min(size.rows, size.columns) > 0 else None


def _lora(found: Roles) -> WeightSize | None:
    up, down = found["up"], found["down"]
    if "mid" not in found:
        return _product(up, down)
    core = found["mid"]
    if not (_is_matrix(up) and _is_matrix(down) and len(core) == 4 and core[:2] == (up[1], down[0])):
        return None
    return WeightSize(up[0], down[1], core[2:])


def _loha(found: Roles) -> WeightSize | None:
    halves = [_factor(found, f"hada_w{one}", f"hada_t{one}") for one in (1, 2)]
    return halves[0] if halves[0] == halves[1] else None


def _lokr(found: Roles) -> WeightSize | None:
    first, second = _factor(found, "lokr_w1", ""), _factor(found, "lokr_w2", "lokr_t2")
    if first is None or second is None or math.prod(first.kernel) != 1:
        return None
    return WeightSize(first.rows * second.rows, first.channels * second.channels, second.kernel)


def _difference(found: Roles) -> WeightSize | None:
    shape = found["diff"]
    return WeightSize(shape[0], math.prod(shape[1:2]), shape[2:]) if shape else None


def _norm(found: Roles) -> WeightSize | None:
    shape = found["norm_scale"]
    return WeightSize(shape[0], 1) if len(shape) == 1 else None


def _factor(found: Roles, name: str, core: str) -> WeightSize | None:
    """One factor of LyCORIS': a matrix, a product of two, or a core between two."""
    whole, first, second = found.get(name), found.get(f"{name}_a", ()), found.get(f"{name}_b", ())
    if whole is not None:
        return WeightSize(whole[0], whole[1], whole[2:]) if len(whole) > 1 else None
    if core not in found:
        return _product(first, second)
    middle = found[core]
    if not (_is_matrix(first) and _is_matrix(second) and len(middle) == 4 and middle[:2] == (first[0], second[0])):
        return None
    return WeightSize(first[1], second[1], middle[2:])


def _product(first: Shape, second: Shape) -> WeightSize | None:
    """Of a matrix, and of one whose rows may be kernels."""
    if not _is_matrix(first) or len(second) < 2 or first[1] != second[0]:
        return None
    return WeightSize(first[0], second[1], second[2:])


def _is_matrix(shape: Shape) -> bool:
    """Whether a tensor is a matrix, or the kernels of a convolution that sees one place."""
    return len(shape) > 1 and math.prod(shape[2:]) == 1
