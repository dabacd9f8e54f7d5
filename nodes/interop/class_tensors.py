"""Values as node classes for ComfyUI know them, and back: pictures BHWC in 0..1, masks BHW, others as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, value
from weft.nodes.values import Image, Mask

if TYPE_CHECKING:
    from torch import Tensor


@value
@dataclass(frozen=True, eq=False)
class ComfyValue:
    """What one class gives and another one takes, of a type of their own; no node type of Weft's takes it.

    Args:
        kind: the name of the type.
        content: None, numbers, texts, bytes and tensors, and lists, tuples and dicts of these.
    """

    kind: str
    content: Any

    def __repr__(self) -> str:
        return f"ComfyValue({self.kind}, {type(self.content).__name__})"


ARRAY = "numpy array"
"""The key under which a dict has the tensor that an array of numpy was made into."""

PLAIN = (type(None), bool, int, float, str, bytes)


def to_class(item: Any) -> Any:
    """A value as a class takes it: of its own, so that it may change it in place.

    Raises:
        InputError: for a value that ComfyUI's classes have no type for, such as a model.
    """
    if isinstance(item, Image):
        return item.pixels.clone()
    if isinstance(item, Mask):
        return item.coverage.clone()
    if isinstance(item, ComfyValue):
        return _unpacked(item.content)
    if isinstance(item, (list, tuple)):
        return [*map(to_class, item)]
    if isinstance(item, PLAIN):
        return item
    message = f"a {type(item).__name__} of Weft's is not given to classes for ComfyUI"
    raise InputError(message, "pictures, masks, numbers and texts are, and what such classes give", "wrong-type")


def _unpacked(item: Any) -> Any:
    import torch

    if isinstance(item, torch.Tensor):
        return item.clone()
    if isinstance(item, Mapping):
        if item.keys() == {ARRAY}:
            return item[ARRAY].clone().numpy()
        return {key: _unpacked(one) for key, one in item.items()}
    return type(item)(map(_unpacked, item)) if isinstance(item, (list, tuple)) else item


@dataclass(frozen=True)
class ClassOutput:
    """What a class gives at one output.

    Args:
        kind: the name of its type there.
    """

    kind: str
    is_list: bool = False

    def value(self, item: Any) -> Any:
        """What it gave as a value here.

        Raises:
            InputError: where it is not of the type, or cannot be kept.
        """
        if self.is_list:
            if not isinstance(item, (list, tuple)):
                raise InputError(f"it gave {_shown(item)}, expected a list of {self.kind}", "", "wrong-type")
            return [self._one(one) for one in item]
        return self._one(item)

    def _one(self, item: Any) -> Any:
        made = MADE.get(self.kind)
        if made is not None:
            return made(item)
        return item if isinstance(item, PLAIN) and self.kind == "*" else ComfyValue(self.kind, _packed(item))


def _picture(item: Any) -> Image:
    pixels = _tensor(item, "a picture")
    return Image(pixels[None] if pixels.ndim == 3 else pixels)


def _mask(item: Any) -> Mask:
    coverage = _tensor(item, "a mask")
    return Mask(coverage[None] if coverage.ndim == 2 else coverage)


def _tensor(item: Any, what: str) -> Tensor:
    import torch

    if not isinstance(item, torch.Tensor):
        raise InputError(f"it gave {_shown(item)}, expected {what} as a tensor", "", "wrong-type")
    return item.detach().cpu().float().contiguous()


def _as_it_is(item: Any) -> Any:
    """A plain value; a choice may be of any of them, and a number of numpy or torch is one."""
    if type(item) not in PLAIN and hasattr(item, "item"):
        return item.item()
    return item


MADE: Mapping[str, Callable[[Any], Any]] = {
    "IMAGE": _picture,
    "MASK": _mask,
    **dict.fromkeys(("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"), _as_it_is),
}
"""How values of the types that both know are made."""


def _packed(item: Any) -> Any:
    """A value of a class's own type as it is kept.

    Raises:
        InputError: where a part of it is of a class that no store can keep.
    """
    import numpy
    import torch

    if type(item) in PLAIN:
        return item
    if isinstance(item, torch.Tensor):
        return item.detach().cpu().contiguous()
    if isinstance(item, numpy.ndarray) and item.dtype.kind in "biufc":
        return {ARRAY: torch.from_numpy(item.copy())}
    if isinstance(item, numpy.generic):
        return item.item()
    if isinstance(item, Mapping) and all(isinstance(key, (str, int)) for key in item):
        return {key: _packed(one) for key, one in item.items()}
    if isinstance(item, (list, tuple)):
        return [*map(_packed, item)] if isinstance(item, list) else tuple(map(_packed, item))
    message = f"it gave {_shown(item)}, which cannot be kept"
    hint = "what a class gives is of tensors, arrays, numbers and texts, and of lists and dicts of these"
    raise InputError(message, hint, "wrong-type")


def _shown(item: Any) -> str:
    kind = type(item)
    return "nothing" if item is None else f"a {kind.__name__} of {kind.__module__}"
