"""Names of pictures by template: `{prompt_index:03}_{seed}_{key:8}`.

Tokens are the axes by name, each also with `_index`, `index` (the item's number) and `key` (the item's id). After a
colon stands a width: `03` fills a number with zeros, `8` cuts a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from weft.engine.artifact import name_fault
from weft.engine.errors import InputError, listed, nearest

_TOKEN = re.compile(r"\{([^{}:]*)(?::([^{}]*))?\}")
_WIDTH = re.compile(r"0?\d{1,3}\Z")
_UNSAFE = re.compile(r"[^\w.+-]+")


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
    return (
        InputError(f"`name`: {plain}", "give a plain name, with / for subfolders", "malformed-name") if plain else None
    )


def named(template: str, values: Mapping[str, Any]) -> str:
    """A template with its tokens replaced; what file names cannot have becomes `_`."""
    return _TOKEN.sub(lambda match: _shown(values[match[1]], match[2] or ""), template)


def _shown(value: Any, width: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and width:
        return f"{value:{width}}".replace(" ", "_")
    text = _UNSAFE.sub("_", str(value)).strip("._") or "_"
    return text[: int(width)] if width else text[:80]
