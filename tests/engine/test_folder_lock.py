"""A folder has one process at a time."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.refusals import refused
from weft.engine.folder_lock import only_one


def test_another_one_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with only_one(tmp_path / "new", "worker"), refused("folder-in-use", "worker"), only_one(tmp_path / "new", "worker"):
        pass
    with only_one(tmp_path / "new", "worker"):
        pass


def test_a_lock_that_somebody_deletes_is_taken_again_unless_another_one_has_it(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with only_one(folder, "worker") as lock:
        shutil.rmtree(folder)
        lock.check()
        with refused("folder-in-use", "worker"), only_one(folder, "worker"):
            pass
        shutil.rmtree(folder)
        with only_one(folder, "worker"), refused("folder-in-use", "worker"):
            lock.check()
        lock.check()
