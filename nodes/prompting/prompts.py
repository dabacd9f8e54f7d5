"""The weights of words in a prompt, written in parentheses.

`(words)` have weight 1.1, `(words:1.2)` 1.2, and nested weights multiply; `\\(`, `\\)` and `\\\\` are the plain
characters. An unmatched parenthesis, and a colon without a number after it, are plain characters too: a prompt that was
not written with weights in mind is never refused. Imports no torch. Read next: `weft.nodes.prompting.prompt_encoder`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, groupby

EMPHASIS = 1.1
"""The weight of parentheses without a number."""

MOST = 100.0
"""The limit on the product of nested weights: deep nesting would overflow otherwise."""

_ESCAPED = frozenset("()\\")

_NUMBER = re.compile(r":\s{0,4}([+-]?(?:\d{1,3}(?:\.\d{0,9})?|\.\d{1,9}))\s{0,4}\Z")
"""A weight before a closing parenthesis: at most 24 characters, so that parsing takes linear time."""


@dataclass(frozen=True)
class Segment:
    """Consecutive words of one weight."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Weighted:
    """A prompt without its parentheses, in segments with their weights."""

    segments: tuple[Segment, ...]

    @cached_property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)

    def weight(self, start: int, end: int) -> float:
        """The weight of a token with these characters of the text: that of the first one that is no space."""
        token = self.text[start:end]
        first = start + len(token) - len(token.lstrip())
        place = bisect_right(self._starts, first if first < end else start)
        return self.segments[place - 1].weight if place else 1.0

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(len(segment.text) for segment in self.segments)][: len(self.segments)]


@dataclass(frozen=True)
class Reading:
    """How texts are read.

    Args:
        weights: whether parentheses weight words; else they are plain characters.
        skip: how many of CLIP's last layers are skipped, in addition to those that the family skips.
        longest: tokens of T5's or of a language model's that the denoiser reads; None leaves it to the family.
        from_empty: whether a weight moves each token away from that of the empty prompt at its place, and a number in
            nested parentheses stands alone; else as `weft.nodes.prompting.text_reader.weighed` has it.
        layer: of CLIP's, counted from the last one, whichever the family takes; 0 is that one. `skip` is 0 then.
        others: the texts of the second and the third text model, where they read others than the first.
    """

    weights: bool = False
    skip: int = 0
    longest: int | None = None
    from_empty: bool = False
    layer: int = 0
    others: tuple[str | None, ...] = ()

    def texts(self, number: int, given: Sequence[str]) -> Sequence[str]:
        """The texts of a text model, by its number from 0 on."""
        own = self.others[number - 1] if 0 < number <= len(self.others) else None
        return given if own is None else [own] * len(given)

    def of(self, text: str) -> Weighted:
        """The segments of a text."""
        return Weighted(parse(text, not self.from_empty) if self.weights else (Segment(text),))


PLAIN = Reading()


def parse(prompt: str, multiplied: bool = True) -> tuple[Segment, ...]:
    """The segments of a prompt; none is empty, and neighbours differ in weight.

    Args:
        multiplied: whether a number multiplies the weight of the parentheses around it, instead of replacing it.
    """
    closes = _pairs(prompt)
    products, ends, found = [1.0], list[tuple[int, int]](), list[Segment]()
    at = 0
    while at < len(prompt):
        if ends and at == ends[-1][0]:
            at = ends.pop()[1]
            products.pop()
        elif (close := closes.get(at)) is not None:
            weight, end = _weight(prompt, at + 1, close)
            around = products[-1] if multiplied or end == close else 1.0
            products.append(max(-MOST, min(MOST, around * weight)))
            ends.append((end, close + 1))
            at += 1
        else:
            at += _is_escape(prompt, at)
            found.append(Segment(prompt[at], products[-1]))
            at += 1
    return _joined(found)


def unparse(segments: Sequence[Segment]) -> str:
    """A prompt that `parse` reads as these segments; weights keep all their digits."""
    escaped = (re.sub(r"([()\\])", r"\\\1", segment.text) for segment in segments)
    pairs = zip(escaped, segments, strict=True)
    return "".join(text if one.weight == 1 else f"({text}:{one.weight})" for text, one in pairs)


def _is_escape(prompt: str, at: int) -> bool:
    """Whether a backslash at this index escapes the next character."""
    return prompt[at] == "\\" and prompt[at + 1 : at + 2] in _ESCAPED


def _pairs(prompt: str) -> dict[int, int]:
    """The index of the closing parenthesis for each opening one that is closed."""
    opened: list[int] = []
    closes: dict[int, int] = {}
    at = 0
    while at < len(prompt):
        if _is_escape(prompt, at):
            at += 1
        elif prompt[at] == "(":
            opened.append(at)
        elif prompt[at] == ")" and opened:
            closes[opened.pop()] = at
        at += 1
    return closes


def _weight(prompt: str, start: int, close: int) -> tuple[float, int]:
    """The weight of the words between two parentheses, and the index where they end."""
    tail = max(start, close - 24)
    number = _NUMBER.search(prompt[tail:close])
    return (float(number[1]), tail + number.start()) if number else (EMPHASIS, close)


def _joined(found: Sequence[Segment]) -> tuple[Segment, ...]:
    runs = groupby(found, key=lambda segment: segment.weight)
    return tuple(Segment("".join(one.text for one in run), weight) for weight, run in runs)
