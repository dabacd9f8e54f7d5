"""Files are replaced whole: by many threads and processes at once, and never left half written."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from weft.engine.atomic_write import replace_file, write_temporary

WRITER = (
    "import sys; from pathlib import Path; from weft.engine.atomic_write import replace_file;"
    "[replace_file(Path(sys.argv[1]), sys.argv[2].encode() * 50_000) for _ in range(200)]"
)


def test_a_file_is_replaced_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    for content in (b"one", b"two"):
        replace_file(path, content)
        assert path.read_bytes() == content
    assert [*path.parent.iterdir()] == [path]


def test_threads_that_write_one_file_leave_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: replace_file(path, bytes([number]) * 100_000), range(100)))
    content = path.read_bytes()
    assert len(content) == 100_000 and len({*content}) == 1 and [*tmp_path.iterdir()] == [path]


def test_processes_that_write_one_file_leave_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), letter]) for letter in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    content = path.read_bytes()
    assert len(content) == 50_000 and len({*content}) == 1 and [*tmp_path.iterdir()] == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError):
        replace_file(folder, b"a file cannot take the place of a folder")
    with pytest.raises(OSError):
        write_temporary(tmp_path / "file" / "a file is no folder", b"")
    assert (folder / "inner").is_dir() and {path.name for path in tmp_path.iterdir()} == {"file", "folder"}
