"""The values of types of their own that node classes for ComfyUI pass to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from weft.engine import value


@value
@dataclass(frozen=True, eq=False)
class ComfyValue:
    """What one class gives and another one takes, by the type's name there; no node type of Weft's takes it.

    Args:
        kind: the name of its type.
        content: None, numbers, texts, bytes and tensors, and lists, tuples and dicts of these.
    """

    kind: str
    content: Any

    def __repr__(self) -> str:
        return f"ComfyValue({self.kind}, {type(self.content).__name__})"
