"""Names of pictures by template: `{prompt_index:03}_{seed}_{key:8}`.

Tokens are the axes by name, each also with `_index`, `index` (the item's number) and `key` (the item's id). After a
colon stands a width: `03` fills a number with zeros, `8` cuts a text.

Texts keep letters, digits and combining marks of all scripts, and emoji; runs of other characters become `_`. A name
that would be too long for a file has its texts cut, between whole characters. A name that Windows reserves gets `_`
behind it.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Mapping
from typing import Any

from weft.engine.artifact import MAX_PART_BYTES, is_reserved, name_fault
from weft.engine.errors import InputError, listed, nearest
from weft.engine.farm.work.publishing import HIDDEN
from weft.engine.unicode_text import byte_length, cut_to_bytes, first_characters, is_mark, is_pictograph

_TOKEN = re.compile(r"\{([^{}:]*)(?::([^{}]*))?\}")
_UNSAFE = re.compile(r"[^\w.+-]+")
_JOINERS = "\u200c\u200d"
_WIDTH = re.compile(r"0?\d{1,3}\Z")


def tokens(targets: Iterable[str]) -> list[str]:
    """What a template may name, for a sweep over these targets."""
    return [*(name for target in targets for name in (target, f"{target}_index")), "index", "key"]


def template_fault(template: str, targets: Iterable[str]) -> InputError | None:
    """Why a template cannot be used, or None."""
    known = tokens(targets)
    for name, width in _TOKEN.findall(template):
        if name not in known:
            hint = nearest(name, known) or f"the tokens are: {listed(known)}"
            return InputError(f"`name` has the unknown token {{{name}}}", hint, "malformed-name")
        if width and not _WIDTH.match(width):
            return InputError(
                f"`name` has the width {width!r} in {{{name}}}", "write {seed:04} or {prompt:20}", "malformed-name"
            )
    if re.search(r"[{}]", _TOKEN.sub("", template)):
        return InputError("`name` has a brace without its other half", "write tokens as {seed}", "malformed-name")
    plain = name_fault(_TOKEN.sub("x", template))
    if plain is None and template.lower().startswith(f"{HIDDEN}/"):
        plain = f"`{HIDDEN}` is the folder of the job's own files"
    return (
        InputError(f"`name`: {plain}", "give a plain name, with / for subfolders", "malformed-name") if plain else None
    )


def named(template: str, values: Mapping[str, Any]) -> str:
    """The name of an item: the template with its tokens replaced."""
    name = _filled(template, values, MAX_PART_BYTES)
    if _fits(name):
        return name
    longest = bisect(range(1, MAX_PART_BYTES), False, key=lambda most: not _fits(_filled(template, values, most)))
    return _filled(template, values, max(longest, 1))


def _fits(name: str) -> bool:
    return all(byte_length(part) <= MAX_PART_BYTES for part in name.split("/"))


def _filled(template: str, values: Mapping[str, Any], most: int) -> str:
    """A template with its tokens replaced, each text in at most so many bytes."""
    name = _TOKEN.sub(lambda match: _shown(values[match[1]], match[2] or "", most), template)
    return "/".join(map(_usable, name.split("/")))


def _usable(part: str) -> str:
    """A part of a name as every system takes it."""
    part = part.rstrip(". ") or "_"
    stem, dot, rest = part.partition(".")
    return f"{stem}_{dot}{rest}" if is_reserved(part) else part


def _shown(value: Any, width: str, most: int) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and width:
        return f"{value:{width}}".replace(" ", "_")
    text = _safe(str(value)).strip("._") or "_"
    return cut_to_bytes(first_characters(text, int(width or 80)), most)


def _safe(text: str) -> str:
    """The text with each run of characters that names should not have as one `_`."""
    if text.isascii():
        return _UNSAFE.sub("_", text)
    kept: list[str] = []
    safe = False  # a mark, or a joiner, goes the way of the letter before it
    for character in text:
        goes_on = safe and (character in _JOINERS or is_mark(character))
        safe = character.isalnum() or character in "_.+-" or goes_on or is_pictograph(character)
        if safe:
            kept.append(character)
        elif not kept or kept[-1] != "":
            kept.append("")
    return "".join(character or "_" for character in kept)
