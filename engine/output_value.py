"""A value as JSON has it: numbers, texts and lists as they are; of anything larger what it is, never its bytes.

Events, `Result.plain` and sidecars of jobs give the outputs of graphs so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from weft.engine.loaded_modules import loaded_module
from weft.engine.types import VALUES, field_values

SHOWN_ITEMS = 10
"""How many items of a list are described."""


def plain_output(item: object) -> dict[str, Any]:
    """A value as a JSON object, one of:

    - `{"value": ...}`: null, a boolean, a number, a text, or lists and objects of these, as JSON has them;
    - `{"type": "float" | "int", "text": "nan"}`: a number that JSON cannot hold, or that has more than 64 bits;
    - `{"type": "Tensor", "dtype": "float32", "shape": [1, 64, 64, 3], "bytes": 49152}`;
    - `{"type": "bytes", "bytes": 17}`;
    - `{"type": "Image", "bytes": 49152, "fields": {NAME: ...}}`: a value class, each field in one of these forms;
    - `{"type": "list", "bytes": 98304, "length": 2, "items": [...]}`: a list of such values, its first 10 items
      described; of an object (`dict`) `fields` by key instead.

    `bytes` is the size of all tensors and byte strings within.
    """
    if _is_plain(item):
        return {"value": _listed(item)}
    if isinstance(item, (int, float)):
        return {"type": type(item).__name__, "text": str(item)}
    if isinstance(item, bytes):
        return {"type": "bytes", "bytes": len(item)}
    if _is_tensor(item):
        return _described_tensor(item)
    if isinstance(item, (list, tuple)):
        items = [plain_output(one) for one in item]
        return {"type": "list", "bytes": _total(items), "length": len(items), "items": items[:SHOWN_ITEMS]}
    fields = _fields(item)
    described = {name: plain_output(one) for name, one in fields.items()}
    return {"type": type(item).__name__, "bytes": _total(described.values()), "fields": described}


def _is_plain(item: object) -> bool:
    """Whether JSON holds a value as it is."""
    if item is None or isinstance(item, (bool, str)):
        return True
    if isinstance(item, int):
        return -(2**63) <= item < 2**63
    if isinstance(item, float):
        return math.isfinite(item)
    if isinstance(item, (list, tuple)):
        return all(map(_is_plain, item))
    return isinstance(item, Mapping) and all(isinstance(key, str) and _is_plain(one) for key, one in item.items())


def _listed(item: Any) -> Any:
    """A plain value of lists and dicts alone."""
    if isinstance(item, (list, tuple)):
        return [_listed(one) for one in item]
    return {key: _listed(one) for key, one in item.items()} if isinstance(item, Mapping) else item


def _fields(item: object) -> Mapping[str, object]:
    if isinstance(item, Mapping):
        return {str(key): one for key, one in item.items()}
    return field_values(item) if VALUES.get(type(item).__name__) is type(item) else {}


def _is_tensor(item: object) -> bool:
    torch = loaded_module("torch")  # a run that is served from the store imports no torch
    return torch is not None and isinstance(item, torch.Tensor)


def _described_tensor(tensor: Any) -> dict[str, Any]:
    size = tensor.numel() * tensor.element_size()
    dtype = str(tensor.dtype).removeprefix("torch.")
    return {"type": "Tensor", "dtype": dtype, "shape": list(tensor.shape), "bytes": size}


def _total(described: Any) -> int:
    return sum(one.get("bytes", 0) for one in described)
