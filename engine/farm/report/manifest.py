"""The results of a job, listed from what is published: `manifest.jsonl`, and a contact sheet."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from weft.engine.atomic_write import replace_file
from weft.engine.errors import InputError
from weft.engine.farm.report.scores import number_of
from weft.engine.farm.work.publishing import listed
from weft.engine.types import spelled
from weft.engine.unicode_text import json_text

TILE = 160
"""Width and height of a picture on a contact sheet, in pixels."""

TEXT = 11
"""Size of the text under a picture, in pixels."""

LINE = 14
"""Pixels from one line of it to the next."""

MAX_TILES = 400


def write_manifest(folder: Path) -> int:
    """Write `manifest.jsonl`, a line for each published item without its graph; how many there are.

    An item that an edit removed from the job has no number.
    """
    lines = []
    for sidecar in listed(folder):
        kept = {name: part for name, part in sidecar.items() if name not in ("graph", "keys")}
        lines.append(json_text(kept, orjson.OPT_APPEND_NEWLINE))
    replace_file(folder / "manifest.jsonl", b"".join(lines))
    return len(lines)


def write_contact_sheet(folder: Path, items: Iterable[Mapping[str, Any]] | None = None, score: str = "") -> Path:
    """Write `contact_sheet.png`: the first pictures of a job, small, each over its name and its settings.

    Of the settings it has those in which the items differ.

    Args:
        items: the sidecars whose pictures it has, in order; those of all items in the job's order where None are given.
        score: a number of each item that it has too (`weft.engine.farm.report.scores`).

    Raises:
        InputError: where nothing is published.
    """
    from io import BytesIO

    from PIL import Image, ImageDraw, ImageFont

    items = [*(listed(folder) if items is None else items)]
    varied = _varied([sidecar.get("settings", {}) for sidecar in items])
    paths = [(one["path"], sidecar) for sidecar in items for one in sidecar["files"]]
    tiles = [(path, _caption(path, sidecar, varied, score)) for path, sidecar in paths]
    if not tiles:
        raise InputError(f"nothing is published in {folder}", "run the job first")
    tiles = tiles[:MAX_TILES]
    across = math.ceil(math.sqrt(len(tiles)))
    font = ImageFont.load_default(TEXT)
    wrapped = [[*_lines(text, font.getlength, TILE - 4)] for _, text in tiles]
    high = TILE + LINE * max(map(len, wrapped))
    sheet = Image.new("RGB", (across * TILE, math.ceil(len(tiles) / across) * high), "white")
    draw = ImageDraw.Draw(sheet)
    for place, ((name, _), lines) in enumerate(zip(tiles, wrapped, strict=True)):
        left, top = place % across * TILE + 2, place // across * high + 2
        with Image.open(folder / name) as picture:
            small = picture.convert("RGB")
            small.thumbnail((TILE - 4, TILE - 4))
            sheet.paste(small, (left, top))
        for number, line in enumerate(lines):
            draw.text((left, top + small.height + 2 + number * LINE), line, "black", font)
    packed = BytesIO()
    sheet.save(packed, "PNG")
    replace_file(folder / "contact_sheet.png", packed.getvalue())
    return folder / "contact_sheet.png"


def _varied(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the settings in which items differ."""
    names = dict.fromkeys(name for one in settings for name in one)
    return [name for name in names if any(one.get(name) != settings[0].get(name) for one in settings)]


def _caption(path: str, sidecar: Mapping[str, Any], varied: Iterable[str], score: str) -> list[str]:
    """What stands under a picture: the name of its file, its score, then each setting."""
    settings, number = sidecar.get("settings", {}), number_of(sidecar, score)
    scored = [] if number is None or score in varied else [f"{score} {number:.4g}"]
    return [Path(path).stem, *scored, *(f"{name} {spelled(settings.get(name)).strip(chr(34))}" for name in varied)]


def _lines(texts: Iterable[str], width_of: Callable[[str], float], width: int) -> Iterator[str]:
    """Texts in lines of a width; a text has two lines at most, and ends in `…` where these do not hold it."""
    for text in texts:
        first = _head(text, width_of, width)
        yield first
        if rest := text[len(first) :].lstrip():
            second = _head(rest, width_of, width)
            yield second if second == rest else _head(rest, width_of, width - width_of("…")) + "…"


def _head(text: str, width_of: Callable[[str], float], width: float) -> str:
    """As much of the beginning of a text as a width holds, whole words where there are any."""
    end = bisect_right(range(1, len(text) + 1), width, key=lambda length: width_of(text[:length]))
    space = text.rfind(" ", 0, end + 1) if end < len(text) else -1
    return text[: space if space > 0 else max(end, 1)]
