"""Numbers, texts and seeds, and arithmetic on them. Nothing here needs torch."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from weft.engine import INJECTED, Context, InputError, Range, check_text, node
from weft.nodes.prompting.dynamic_text import chosen

Operation = Literal["add", "subtract", "multiply", "divide", "remainder", "minimum", "maximum"]

RealOperation = Literal["add", "subtract", "multiply", "divide", "remainder", "minimum", "maximum", "power"]

_LEAST, _GREATEST = -(2**63), 2**64 - 1

_WHOLE: Mapping[Operation, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a // b,
    "remainder": lambda a, b: a % b,
    "minimum": min,
    "maximum": max,
}


def _power(a: float, b: float) -> float:
    """a to the power of b; not a number where that is none."""
    try:
        return math.pow(a, b)
    except (OverflowError, ValueError):
        return math.nan


_REAL: Mapping[RealOperation, Callable[[float, float], float]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "remainder": math.fmod,
    "minimum": min,
    "maximum": max,
    "power": _power,
}


@node(category="primitives", instant=True)
def Integer(value: int) -> int:
    """A whole number, for several inputs to share.

    Args:
        value: the number.
    """
    return value


@node(category="primitives", instant=True)
def Number(value: float) -> float:
    """A number, for several inputs to share.

    Args:
        value: the number.
    """
    return value


@node(category="primitives", instant=True)
def Text(value: str) -> str:
    """A text, for several inputs to share.

    Args:
        value: the text.
    """
    return value


@node(category="primitives", instant=True)
def Boolean(value: bool) -> bool:
    """True or false, for several inputs to share.

    Args:
        value: true or false.
    """
    return value


@node(category="primitives", instant=True)
def IntegerMath(a: int, b: int, operation: Operation = "add") -> int:
    """Arithmetic on two whole numbers.

    Args:
        a: the first.
        b: the second.
        operation: `divide` rounds down; `remainder` has the sign of b.
    """
    if b == 0 and operation in ("divide", "remainder"):
        raise InputError(f"{a} cannot be divided by 0", "give another b", "division-by-zero")
    result = _WHOLE[operation](a, b)
    if not _LEAST <= result <= _GREATEST:
        raise InputError(f"{operation} of {a} and {b} goes beyond 64 bits", "give smaller numbers", "not-a-number")
    return result


@node(category="primitives", instant=True)
def NumberMath(a: float, b: float, operation: RealOperation = "add") -> float:
    """Arithmetic on two numbers.

    Args:
        a: the first.
        b: the second.
        operation: `remainder` has the sign of a; `power` with a `b` of 0.5 is the square root of a.
    """
    if b == 0 and operation in ("divide", "remainder"):
        raise InputError(f"{a} cannot be divided by 0", "give another b", "division-by-zero")
    result = _REAL[operation](a, b)
    if not math.isfinite(result):
        raise InputError(f"{operation} of {a} and {b} is no finite number", "give other numbers", "not-a-number")
    return result


@node(category="primitives", instant=True)
def JoinText(texts: list[str], separator: str = ", ", *, context: Context = INJECTED) -> str:
    """Join texts, such as the parts of a prompt; empty ones are left out.

    Args:
        texts: in order.
        separator: between two texts.
    """
    parts = [text for text in texts if text]
    check_text(sum(map(len, parts)) + len(separator) * max(len(parts) - 1, 0), context.limits)
    return separator.join(parts)


@node(category="primitives", instant=True)
def FormatText(template: str, values: list[str | int | float], *, context: Context = INJECTED) -> str:
    """Put values into a text: `a {0} house, {1} trees`.

    Args:
        template: `{0}` is replaced by the first value, `{1}` by the second; `{{` and `}}` are braces.
        values: texts and numbers.
    """

    length = len(template)

    def filled(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        if match[1] is None or int(match[1]) >= len(values):
            raise InputError(
                f"`{match[0]}` in the template has no value: {len(values)} values are given",
                "number the values from {0}; write {{ and }} for braces",
                "unknown-placeholder",
            )
        nonlocal length
        text = str(values[int(match[1])])
        length += len(text)
        check_text(length, context.limits)
        return text

    return re.sub(r"\{\{|\}\}|\{(?:(\d{1,6})\}|[^{}]*\}?)|\}", filled, template)


@node(category="primitives", instant=True)
def ChooseWords(text: str, seed: Annotated[int, Range(0, 2**64 - 1)] = 0) -> str:
    """Choose one of each `{red|blue}` in a text by a seed: prompts that vary with the picture.

    Choices may be nested, and each option is as likely as the others. `\\{` and `\\}` are the plain characters.
    Comments are left out: `// to the end of the line`, `/* between these */`. ComfyUI's editor reads prompts so, and
    chooses again each time that it queues one; here equal seeds choose the same.

    Args:
        text: such as `a {red|blue|{dark|light} green} house`.
        seed: set it and the seed of the sampler by one parameter, so that each picture has words of its own.
    """
    return chosen(text, seed)


@node(category="primitives", instant=True)
def Seeds(
    first: Annotated[int, Range(0, 2**64 - 1)], count: Annotated[int, Range(1, 4096)] = 1, *, step: int = 1
) -> list[int]:
    """A list of seeds, one for each item of a batch.

    Args:
        first: the first seed.
        count: how many.
        step: the difference between neighbours; values wrap around at 64 bits.
    """
    return [(first + index * step) % 2**64 for index in range(count)]
