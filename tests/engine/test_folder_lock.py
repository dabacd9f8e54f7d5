"""A folder has one process at a time."""

from __future__ import annotations

from pathlib import Path

from tests.refusals import refused
from weft.engine.folder_lock import only_one


def test_another_one_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with only_one(tmp_path / "new", "worker"), refused("folder-in-use", "worker"), only_one(tmp_path / "new", "worker"):
        pass
    with only_one(tmp_path / "new", "worker"):
        pass
