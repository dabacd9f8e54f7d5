"""Texts without where folders of this machine lie, as others get them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from weft.engine.session import Engine

Place = tuple[Path, str]
"""A folder, and the word that stands for it."""


def places_of(engine: Engine) -> tuple[Place, ...]:
    """The folders that an engine looks in, and keeps results in."""
    found = engine.places()
    kept = [(Path(one), "STORE") for one in (engine.store, engine.shared) if isinstance(one, (str, Path))]
    return (*((one, "INPUT") for one in found.inputs), *((one, "MODELS") for one in found.models), *kept)


def without_places(text: str, places: Iterable[Place]) -> str:
    """A text with words for folders."""
    for folder, word in places:
        for spelling in {str(folder), str(folder.absolute()), str(folder.resolve())}:
            text = _pattern(spelling).sub(word, text) if len(spelling) > 1 else text
    return text


@cache
def _pattern(spelling: str) -> re.Pattern[str]:
    """Where a text names a folder: `graphs` in `graphs/a.json` alone, since it is a word too, and `/srv/a` not in
    `/srv/ab`."""
    if Path(spelling).is_absolute():
        return re.compile(rf"(?<!\w){re.escape(spelling)}(?!\w|[.-]\w)")
    return re.compile(rf"(?<![\w./-]){re.escape(spelling)}(?=/)")


def without_places_in(plain: Any, places: tuple[Place, ...]) -> Any:
    """JSON values whose texts have words for folders."""
    if isinstance(plain, str):
        return without_places(plain, places)
    if isinstance(plain, Mapping):
        return {name: without_places_in(one, places) for name, one in plain.items()}
    return [without_places_in(one, places) for one in plain] if isinstance(plain, list) else plain
