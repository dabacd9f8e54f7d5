"""Texts with choices, `a {red|blue} house`, and comments, `// to the end of a line` and `/* between these */`.

This is how ComfyUI's editor reads prompts before it queues them (https://docs.comfy.org/built-in-nodes/ClipTextEncode),
where the choice is another one each time. Here it follows from a seed.
"""

from __future__ import annotations

import random
import re

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)

PART = re.compile(r"\\[{}]|[{}|]")
"""A brace, with the backslash that makes it a plain character, or a bar."""


def without_comments(text: str) -> str:
    """A text without its comments."""
    return COMMENT.sub("", text)


def has_choices(text: str) -> bool:
    """Whether something in a text is chosen, so that it depends on a seed."""
    return bool(_partners(without_comments(text)))


def chosen(text: str, seed: int) -> str:
    """A text with one of each `{a|b|c}`, the outer ones first, and without its comments.

    Only what was chosen is looked at for further choices. `\\{` and `\\}` are plain characters; so is a brace without
    its partner, and a bar outside of braces.
    """
    numbers, plain = random.Random(seed), without_comments(text)
    closing = _partners(plain)
    parts: list[str] = []
    stack = [(0, len(plain))]
    while stack:
        at, end = stack.pop()
        found = PART.search(plain, at, end)
        if found is None:
            parts.append(plain[at:end])
            continue
        parts.append(plain[at : found.start()])
        start = found.start()
        if start in closing and closing[start] < end:
            options = _options(plain, start, closing)
            stack += [(closing[start] + 1, end), options[int(numbers.random() * len(options))]]
        else:
            parts.append(found[0][-1])
            stack.append((found.end(), end))
    return "".join(parts)


def _partners(text: str) -> dict[int, int]:
    """The place of the closing brace for each opening one that has one."""
    found: dict[int, int] = {}
    stack: list[int] = []
    for one in PART.finditer(text):
        if one[0] == "{":
            stack.append(one.start())
        elif one[0] == "}" and stack:
            found[stack.pop()] = one.start()
    return found


def _options(text: str, start: int, closing: dict[int, int]) -> list[tuple[int, int]]:
    """Where the options of a choice begin and end."""
    ends, at = [], start + 1
    while (one := PART.search(text, at, closing[start])) is not None:
        at = one.end()
        if one[0] == "{" and one.start() in closing:
            at = closing[one.start()] + 1
        elif one[0] == "|":
            ends.append(one.start())
    ends.append(closing[start])
    return [*zip([start + 1, *(end + 1 for end in ends)], ends, strict=False)]
