"""Searching texts by words: `img2img`, `upscaling`, for `weft graphs WORD` and `weft nodes WORD`.

Names count by any part of them, prose by the beginnings of its words, and endings of up to three letters are no
difference: `inpainting` finds `inpaint`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

_STEM = 4
"""Letters that a shorter word has at least where a longer one is found by it."""

_ENDING = 3
"""Letters by which the two may differ then."""

_TOKEN = re.compile(r"[a-z0-9+]+")


def relevance(words: Sequence[str], names: Iterable[str], prose: Iterable[str] = ()) -> int:
    """How well texts answer a search: 0 where a word is in none of them.

    Args:
        words: all of them must be found.
        names: ids, titles and keywords; a whole one counts most.
        prose: sentences.
    """
    known = [_folded(name) for name in names]
    tokens = {token for text in prose for token in _TOKEN.findall(text.lower())}
    scores = [_score(_folded(word), known, tokens) for word in words]
    return sum(scores) if all(scores) else 0


def found(words: Sequence[str], among: Mapping[T, tuple[Iterable[str], Iterable[str]]]) -> list[T]:
    """The keys whose names and prose answer a search, the best first; all of them where there are no words."""
    scores = {key: relevance(words, *texts) for key, texts in among.items()}
    return [key for key in sorted(scores, key=lambda key: -scores[key]) if scores[key] or not words]


def _score(word: str, names: Sequence[str], tokens: Iterable[str]) -> int:
    if not word:
        return 0
    if word in names:
        return 4
    if any(_akin(word, part) for name in names for part in name.split()):
        return 3
    if any(_is_part(word.replace(" ", ""), name) for name in names):
        return 2
    return int(any(_akin(word, token) for token in tokens))


def _is_part(word: str, name: str) -> bool:
    """Whether a word is in one of a name, or some of these written together begin with it: `clipscore`."""
    parts = name.split()
    return any(word in part or "".join(parts[at:]).startswith(word) for at, part in enumerate(parts))


def _akin(word: str, token: str) -> bool:
    """Whether a token begins as the word does, or both are one word with two endings: `upscale`, `upscaling`."""
    if word == token or (len(word) >= _STEM - 1 and token.startswith(word)):
        return True
    short, long = sorted((word, token), key=len)
    return len(short) >= _STEM and len(long) - len(short) <= _ENDING and long.startswith(short.removesuffix("e"))


def _folded(name: str) -> str:
    """A name in lower case, with spaces between its words: `TextEncode`, `text_to_image`, `image-to-image`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", " ", name)
    return " ".join(re.split(r"[\s_/-]+", apart.strip().lower()))
