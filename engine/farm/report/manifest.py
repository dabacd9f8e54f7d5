"""The results of a job, listed from what is published: `manifest.jsonl`, and a contact sheet."""

from __future__ import annotations

import math
from pathlib import Path

import orjson

from weft.engine.atomic_write import replace_file
from weft.engine.errors import InputError
from weft.engine.farm.work.publishing import listed
from weft.engine.unicode_text import json_text

TILE = 160
"""Width and height of a picture on a contact sheet, in pixels."""

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


def write_contact_sheet(folder: Path) -> Path:
    """Write `contact_sheet.png`: the first pictures of a job, small, in its order.

    Raises:
        InputError: where nothing is published.
    """
    from io import BytesIO

    from PIL import Image

    names = [one["path"] for sidecar in listed(folder) for one in sidecar["files"]][:MAX_TILES]
    if not names:
        raise InputError(f"nothing is published in {folder}", "run the job first")
    across = math.ceil(math.sqrt(len(names)))
    sheet = Image.new("RGB", (across * TILE, math.ceil(len(names) / across) * TILE), "white")
    for place, name in enumerate(names):
        with Image.open(folder / name) as picture:
            small = picture.convert("RGB")
            small.thumbnail((TILE - 4, TILE - 4))
            sheet.paste(small, (place % across * TILE + 2, place // across * TILE + 2))
    packed = BytesIO()
    sheet.save(packed, "PNG")
    replace_file(folder / "contact_sheet.png", packed.getvalue())
    return folder / "contact_sheet.png"
