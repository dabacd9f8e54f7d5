"""Values to bytes and back, without pickle: a JSON tree, its tensors (one safetensors blob) and its byte strings.

`flatten` takes a value apart; `restore` builds it again. `content_digest` names a value by content: types, field names,
dtypes, shapes and bytes all count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from weft.engine.errors import StoreError
from weft.engine.keys import Digest, digest, digest_bytes, digest_sequence, encode
from weft.engine.lazy_exports import import_exports
from weft.engine.loaded_modules import loaded_module
from weft.engine.types import SCALARS, VALUES, stored_values

_PLAIN = (type(None), bool, int, str)

_CONTENT, _NOTHING = encode("content"), encode([])


@dataclass
class FlatValue:
    """A value taken apart: `tree` is JSON, `tensors` and `blobs` are referred to by index."""

    tree: Any = None
    tensors: list[Any] = field(default_factory=list)
    blobs: list[bytes] = field(default_factory=list)


_NO_PARTS = FlatValue()
"""Where scalars are taken apart, which have none."""


def flatten(item: object) -> FlatValue:
    """Take a value apart.

    Raises:
        TypeError: for a type that no codec knows.
    """
    parts = FlatValue()
    parts.tree = _flatten(item, parts)
    return parts


def _flatten(item: Any, parts: FlatValue) -> Any:
    if type(item) is str and not item.isascii():
        return _text(item)
    if type(item) in _PLAIN:
        return item if not isinstance(item, int) or abs(item) < 2**63 else {"int": str(item)}
    if type(item) is Digest:
        return {"digest": str(item)}
    if type(item) is float:
        return item if math.isfinite(item) else {"float": repr(item)}
    if type(item) is bytes:
        parts.blobs.append(item)
        return {"bytes": len(parts.blobs) - 1}
    if type(item) in (list, tuple):
        return {type(item).__name__: [_flatten(element, parts) for element in item]}
    if type(item) is dict:
        return {"dict": [[_flatten(key, parts), _flatten(element, parts)] for key, element in item.items()]}
    if VALUES.get(type(item).__name__) is type(item):
        fields = {name: _flatten(element, parts) for name, element in stored_values(item).items()}
        return {"value": type(item).__name__, "fields": fields}
    if is_tensor(item):
        parts.tensors.append(item)
        return {"tensor": len(parts.tensors) - 1}
    raise TypeError(f"a {type(item).__name__} cannot cross a link; make it a @value, or of plain values and tensors")


def _text(text: str) -> str:
    """The text, unless it is none that UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as fault:
        raise TypeError(f"a str with half of a surrogate pair cannot cross a link: {fault}") from None
    return text


def laid_out(item: Any) -> Any:
    """The value with every tensor as it will come out of a store: in row order, and fit for gradients.

    Arithmetic takes other ways for other layouts, so a value that keeps the layout which a node happened to give it
    could lead to other pictures than the same value out of a store. What was made in torch's inference mode could not
    be trained with.
    """
    if type(item) in SCALARS:
        return item
    parts = flatten(item)
    if all(tensor.is_contiguous() and not tensor.is_inference() for tensor in parts.tensors):
        return item
    return restore(parts.tree, lambda index: _ordinary(parts.tensors[index]), parts.blobs.__getitem__)


def _ordinary(tensor: Any) -> Any:
    """A tensor in row order that was not made in inference mode."""
    whole = tensor.contiguous()
    return whole.clone() if whole.is_inference() else whole


def is_tensor(item: object) -> bool:
    """Whether `item` is a torch tensor; never imports torch."""
    torch = loaded_module("torch")
    return torch is not None and isinstance(item, torch.Tensor)


def restore(tree: Any, tensor: Callable[[int], Any], blob: Callable[[int], bytes]) -> Any:
    """Build a value from its tree; `tensor` and `blob` fetch a part by index.

    Raises:
        StoreError: for a value class that no installed library has.
    """
    if not isinstance(tree, dict):
        return tree
    (kind, content), *_ = tree.items()
    if kind in ("list", "tuple"):
        elements = [restore(element, tensor, blob) for element in content]
        return elements if kind == "list" else tuple(elements)
    if kind == "dict":
        return {restore(key, tensor, blob): restore(element, tensor, blob) for key, element in content}
    if kind == "value":
        fields = {name: restore(element, tensor, blob) for name, element in tree["fields"].items()}
        return _value_class(content)(**fields)
    readers: dict[str, Callable[[Any], Any]] = {"digest": Digest, "int": int, "float": float}
    return {**readers, "tensor": tensor, "bytes": blob}[kind](content)


def _value_class(name: str) -> type:
    if name not in VALUES:
        import_exports()
    if name not in VALUES:
        raise StoreError(
            f"the store has a value of type {name}, which no installed node library defines", "install the library"
        )
    return VALUES[name]


def tensor_bytes(tensor: Any) -> bytes:
    """A tensor's elements in row order, as bytes."""
    import torch

    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()  # type: ignore[no-any-return]


def content_digest(item: object) -> Digest:
    """The digest of a value's content."""
    if type(item) in SCALARS:
        return digest_sequence(_CONTENT, encode(_flatten(item, _NO_PARTS)), _NOTHING, _NOTHING)
    parts = flatten(item)
    tensors = [(str(one.dtype), list(one.shape), digest_bytes(tensor_bytes(one))) for one in parts.tensors]
    return digest(("content", parts.tree, tensors, [digest_bytes(blob) for blob in parts.blobs]))
