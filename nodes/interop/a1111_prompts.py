"""Prompts as A1111's web UI reads them: `AND`, `BREAK`, `[less of it]`, and what has no counterpart here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LESS = round(1 / 1.1, 6)
"""The weight of words in square brackets."""

MOST_LEVELS = 50
"""How deep brackets are read in brackets."""

_INNERMOST = re.compile(r"(?<!\\)\[([^\[\]]*)(?<!\\)\]")
_CHANGES = re.compile(r"\||:\s*[\d.]+\s*$")
_WEIGHT = re.compile(r":\s*([-+]?\d{0,6}\.?\d{1,6})\s*$")


@dataclass(frozen=True)
class PromptParts:
    """One of the prompts that `AND` puts side by side.

    Args:
        texts: that are encoded apart, one after the other (`BREAK`), with weights as TextEncode reads them.
        weight: of its guidance.
        changes: what was in brackets that change a prompt on the way (`[cat:dog:0.5]`, `[cat|dog]`), left as it is.
    """

    texts: tuple[str, ...]
    weight: float = 1.0
    changes: tuple[str, ...] = ()


def prompts_in(text: str, *, several: bool) -> Sequence[PromptParts]:
    """The prompts in a text.

    Args:
        several: whether `AND` separates prompts; in a negative one it does not.
    """
    return [_parts(one.strip(), several) for one in (re.split(r"\bAND\b", text) if several else [text])]


def _parts(text: str, weighted: bool) -> PromptParts:
    found = _WEIGHT.search(text) if weighted else None
    # A weight at the end of brackets belongs to their words.
    weight = found if found and text.count("(") == text[: found.start()].count(")") else None
    text = text[: weight.start()] if weight else text
    plain, changes = _without_brackets(text)
    texts = tuple(one.strip() for one in re.split(r"\bBREAK\b", plain))
    return PromptParts(texts, float(weight[1]) if weight else 1.0, changes)


def _without_brackets(text: str) -> tuple[str, tuple[str, ...]]:
    """A text with weights in place of square brackets, and the brackets that mean something else."""
    changes: list[str] = []

    def weighed(found: re.Match[str]) -> str:
        if not _CHANGES.search(found[1]):
            return f"({found[1]}:{LESS})"
        changes.append(found[0])
        return found[1]

    for _ in range(MOST_LEVELS):
        text, count = _INNERMOST.subn(weighed, text)
        if not count:
            break
    return text.replace("\\[", "[").replace("\\]", "]"), tuple(changes)
