"""The contact sheet of a job."""

from __future__ import annotations

from typing import Any

import numpy
from PIL import Image

from tests.engine.farm.conftest import Place
from weft.engine.farm.report.manifest import LINE, TILE, write_contact_sheet
from weft.engine.farm.submit import submit
from weft.engine.farm.work.worker import Worker


def ink(sheet: Any, column: int, line: int) -> int:
    """Dark pixels of a line of text under a picture of one pixel in the first row."""
    top = 2 + 1 + 2 + line * LINE
    return int((sheet[top : top + LINE, column * TILE : (column + 1) * TILE] < 128).sum())


def test_each_picture_stands_over_its_name_and_the_settings_that_differ(place: Place) -> None:
    long = "a very long description of a landscape with mountains, a lake, a house and many other things"
    submit(place.job({"prompt": ["a", long]}, set={"seed": 3}, name="{prompt_index}"), place.out, place.setup)
    Worker(place.out).work()
    sheet = numpy.asarray(Image.open(write_contact_sheet(place.out)).convert("L"))
    assert sheet.shape == (TILE + 3 * LINE, 2 * TILE)
    lines = [[ink(sheet, column, line) > 0 for line in range(3)] for column in range(2)]
    assert lines == [[True, True, False], [True, True, True]]
    assert ink(sheet, 0, 1) < ink(sheet, 1, 1)
