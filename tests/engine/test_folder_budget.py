"""A folder is kept within a number of bytes."""

from __future__ import annotations

import os
import re
from pathlib import Path

from weft.engine.folder_budget import keep_within


def test_what_was_unused_for_longest_goes_first_and_others_stay(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "middle", "old", "Other")):
        (tmp_path / name).write_bytes(b"12345")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    keep_within(tmp_path, re.compile("[a-z]+"), 10, keep=("new",))
    assert {path.name for path in tmp_path.iterdir()} == {"new", "middle", "Other"}
    keep_within(tmp_path, re.compile("[a-z]+"), 0, keep=("middle",))
    assert {path.name for path in tmp_path.iterdir()} == {"middle", "Other"}
