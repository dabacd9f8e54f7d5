"""Names that are not Unicode: Python has bytes of a file name that are not UTF-8 as lone surrogates.

Such a text cannot be part of JSON or of UTF-8. A graph cannot have it; messages and events have it `escaped`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")


def is_unicode(text: str) -> bool:
    """Whether a text can be written in UTF-8."""
    return _SURROGATE.search(text) is None


def escaped(text: str) -> str:
    r"""The text with each byte that is not UTF-8 as `\xE9`, and any other lone surrogate as `\uD800`."""
    return _SURROGATE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02X}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04X}"


def escaped_texts(plain: Any) -> Any:
    """JSON values with every text in them escaped."""
    if isinstance(plain, str):
        return escaped(plain)
    if isinstance(plain, Mapping):
        return {escaped_texts(name): escaped_texts(value) for name, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [escaped_texts(value) for value in plain]
    return plain
