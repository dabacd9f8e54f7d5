"""Words that texts may not have: whole ones, in any case of letters, also where weights of a prompt stand between."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from weft.engine.errors import InputError

_WEIGHTS = re.compile(r":\s*[\d.]+\s*(?=[)\]])|[()\[\]{}\\]")
"""How a prompt weighs a part of a word: `nu(de:1.2)` is read as `nude`."""


def refused_word(text: str, words: Sequence[str]) -> str:
    """The first of some words that is in a text; empty where none is."""
    if not words:
        return ""
    plain = _plain(text)
    found = next(filter(None, (_pattern(tuple(words)).search(one) for one in (plain, _WEIGHTS.sub("", plain)))), None)
    return found[0] if found else ""


def check_words(text: str, words: Sequence[str]) -> None:
    """Raise `InputError` where a text has one of some words."""
    if word := refused_word(text, words):
        raise InputError(f"the text has `{word}`, which the settings refuse", "leave it out", "refused-word")


def _plain(text: str) -> str:
    """Letters by what they mean, of one case; marks that are not seen are left out."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in folded if unicodedata.category(letter) != "Cf")


@lru_cache(maxsize=16)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    each = (r"\s+".join(map(re.escape, _plain(word).split())) for word in words)
    return re.compile(rf"(?<!\w)(?:{'|'.join(each)})(?!\w)")
