"""ComfyUI's plain values: numbers, texts."""

from __future__ import annotations

from typing import Any

from weft.nodes.interop.writing import MappedNode, maps


@maps("PrimitiveInt", "PrimitiveString", "PrimitiveStringMultiline", "PrimitiveBoolean")
def _value(one: MappedNode) -> tuple[Any, ...]:
    return (one("value"),)


@maps("PrimitiveFloat")
def _number(one: MappedNode) -> tuple[Any, ...]:
    value = one("value")
    return (float(value) if isinstance(value, int) else value,)


@maps("StringConcatenate")
def _joined(one: MappedNode) -> tuple[Any, ...]:
    first, second, between = one("string_a"), one("string_b"), one("delimiter")
    if isinstance(first, str) and isinstance(second, str) and isinstance(between, str):
        return (f"{first}{between}{second}",)
    if between == "":
        return (one.add("JoinText", texts=[first, second], separator=between).link,)
    # JoinText leaves out empty texts with what is between them, and the delimiter stays there.
    return (one.add("FormatText", template="{0}{1}{2}", values=[first, between, second]).link,)
