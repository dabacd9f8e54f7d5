"""Files are replaced whole: by many threads and processes at once, and never left half written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from weft.engine import Graph
from weft.engine.atomic_write import check_writable, place_new, replace_file, write_file, write_temporary

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


def test_a_file_that_the_user_names_is_written_through_links(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one")
    (tmp_path / "link").symlink_to("file")
    write_file(tmp_path / "link", b"two")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_bytes() == b"two"


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit((tmp_path / "pipe").read_bytes)
        write_file(tmp_path / "pipe", b"content")
        assert reader.result(10) == b"content" and (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("write", [write_file, lambda path, content: Graph(content.decode()).save(path)])
def test_a_full_disk_leaves_the_older_file_as_it_was(write: Callable[[Path, bytes], None], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"older")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError):
            write(tmp_path / "file", b"more than ten bytes")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_bytes() == b"older"


@pytest.mark.parametrize("name", ["x" * 255, "\u96ea" * 85, "e\u0301" * 85])
def test_names_of_the_greatest_length_can_be_written(name: str, tmp_path: Path) -> None:
    replace_file(tmp_path / name, b"one")
    assert (tmp_path / name).read_bytes() == b"one"


def test_a_new_name_is_given_once(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        (tmp_path / "source").unlink(missing_ok=True)
        (tmp_path / "source").write_bytes(content)
        if content == b"one":
            place_new(tmp_path / "source", tmp_path / "file")
        else:
            with pytest.raises(FileExistsError):
                place_new(tmp_path / "source", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"one"


def test_a_folder_that_could_be_written_is_not_tried_again_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    changes = set()
    for _ in range(3):
        check_writable(folder)
        changes.add(folder.stat().st_mtime_ns)
    assert len(changes) == 1 and not [*folder.iterdir()]
    folder.rmdir()
    folder.write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        check_writable(folder)
    folder.unlink()
    check_writable(folder)
    assert [*tmp_path.iterdir()] == []
