"""Texts as names of files: their length in bytes, and bytes that are not UTF-8.

Python has bytes of a file name that are not UTF-8 as lone surrogates. Such a text cannot be part of JSON or of UTF-8.
A graph cannot have it; messages and events have it `escaped`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

_SURROGATE = re.compile("[\ud800-\udfff]")


def is_unicode(text: str) -> bool:
    """Whether a text can be written in UTF-8."""
    return text.isascii() or _SURROGATE.search(text) is None


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


def json_text(plain: Any, option: int | None = None, default: Callable[[Any], Any] | None = None) -> bytes:
    """JSON in UTF-8, with what is not Unicode in it escaped.

    Args:
        option: of `orjson.dumps`.
        default: gives a JSON value for any other.
    """
    try:
        return orjson.dumps(plain, default, option)
    except TypeError:  # raised for lone surrogates too
        return orjson.dumps(escaped_texts(plain), default and (lambda other: escaped_texts(default(other))), option)


def exact_json(plain: Any) -> bytes:
    """JSON from which `read_json` gives every text again, also paths that are not UTF-8."""
    try:
        return orjson.dumps(plain)
    except TypeError:
        return json.dumps(plain).encode()


def read_json(content: bytes | str) -> Any:
    """The values of a JSON text, as `exact_json` writes it.

    Raises:
        ValueError: where it is no JSON.
    """
    try:
        return orjson.loads(content)
    except ValueError:
        return json.loads(content)


def byte_length(text: str) -> int:
    """The length of a file name in bytes, as file systems count it."""
    return len(text.encode("utf-8", "surrogateescape"))


def cut_to_bytes(text: str, limit: int) -> str:
    """The beginning of a text that takes at most so many bytes, cut between whole characters."""
    content = text.encode("utf-8", "surrogateescape")
    if len(content) <= limit:
        return text
    end = len(content[:limit].decode("utf-8", "ignore"))
    while end and _is_within(text, end):
        end -= 1
    return text[:end]


def first_characters(text: str, count: int) -> str:
    """The first characters of a text, as a reader counts them.

    What a reader sees as one character may be several code points: accents and vowel signs follow their letter, and
    pictures are joined by U+200D.
    """
    if text.isascii():
        return text[:count]
    begins = (place for place in range(len(text)) if not _is_within(text, place))
    end = next(itertools.islice(begins, count, None), len(text))
    return text[:end]


def _is_within(text: str, place: int) -> bool:
    """Whether the code point at a place belongs to the character before it."""
    return place > 0 and (_continues(text[place]) or text[place - 1] == _JOINER)


_JOINER = "\u200d"


def _continues(character: str) -> bool:
    """Whether a code point belongs to the character before it."""
    joins = character in "\u200c\u200d" or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
    return joins or "\u1160" <= character <= "\u11ff" or is_mark(character)  # vowels and finals of Hangul, decomposed


def is_mark(character: str) -> bool:
    """Whether a code point is an accent or a vowel sign that combines with the letter before it."""
    import unicodedata

    return unicodedata.category(character).startswith("M")


def is_pictograph(character: str) -> bool:
    """Whether a code point is an emoji or another symbol that is a picture, or changes the skin tone of one."""
    import unicodedata

    return unicodedata.category(character) == "So" or "\U0001f3fb" <= character <= "\U0001f3ff"


def folded(name: str) -> str:
    """What two names have in common that are one file on systems which ignore case and composition of characters."""
    import unicodedata

    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
