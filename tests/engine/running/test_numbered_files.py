"""Numbers of files: the next free one, also among processes and without hard links; a full folder is read once."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from weft.engine import atomic_write
from weft.engine.running import numbered_files
from weft.engine.running.numbered_files import place

MANY = 20_000


def without_links(source: object, path: object) -> None:
    """`os.link` of a file system that has no hard links."""
    raise PermissionError(1, "Operation not permitted")


def placed(folder: Path, *contents: bytes) -> list[str]:
    """The names that contents get."""
    return [place(folder / "a", ".png", content)[0].name for content in contents]


def deliver(folder: Path, process: int, links: bool) -> None:
    """What one of several processes does."""
    if not links:
        os.link = without_links  # type: ignore[assignment]
    for n in range(20):
        place(folder / "a", ".png", f"{process} {n}".encode())


def slowest(act: Callable[[int], object], times: int) -> float:
    """The median of the seconds that some calls take."""
    seconds = []
    for n in range(times):
        started = time.perf_counter()
        act(n)
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)[times // 2]


def test_a_folder_of_many_files_of_one_name_costs_no_more_than_an_empty_one(tmp_path: Path) -> None:
    full, empty = tmp_path / "full", tmp_path / "empty"
    full.mkdir()
    empty.mkdir()
    for n in range(1, MANY + 1):
        (full / f"a_{n:04d}.png").touch()
    assert placed(full, b"first") == [f"a_{MANY + 1}.png"]
    cost = slowest(lambda n: placed(full, b"%d" % n), 20)
    assert cost < max(20 * slowest(lambda n: placed(empty, b"%d" % n), 20), 0.01)


def test_what_others_change_in_the_folder_is_noticed(tmp_path: Path) -> None:
    assert placed(tmp_path, b"1", b"2", b"1") == ["a_0001.png", "a_0002.png", "a_0001.png"]
    (tmp_path / "a_0009.png").write_bytes(b"9")
    assert placed(tmp_path, b"9", b"10") == ["a_0009.png", "a_0010.png"]
    (tmp_path / "a_0001.png").unlink()
    (tmp_path / "a_0002.png").write_bytes(b"changed in place")
    assert placed(tmp_path, b"1", b"2") == ["a_0011.png", "a_0012.png"]


def test_other_names_do_not_count(tmp_path: Path) -> None:
    for name in ("a_1.png", "a_00x1.png", "a_0007.webp", "ab_0008.png", "a_\u0663\u0663\u0663\u0663.png", "A_0009.png"):
        (tmp_path / name).touch()
    assert placed(tmp_path, b"1") == ["a_0001.png"]


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_processes_never_overwrite_each_other(links: bool, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=deliver, args=(tmp_path, number, links)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    contents = sorted(path.read_bytes() for path in tmp_path.iterdir())
    assert contents == sorted(f"{process} {n}".encode() for process in range(3) for n in range(20))


def test_without_hard_links_files_are_numbered_as_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", without_links)
    assert placed(tmp_path, b"1", b"2", b"1") == ["a_0001.png", "a_0002.png", "a_0001.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_0001.png", "a_0002.png"]


def test_only_so_many_folders_are_remembered(tmp_path: Path) -> None:
    for n in range(30):
        (tmp_path / str(n)).mkdir()
        placed(tmp_path / str(n), b"1")
    assert len(numbered_files._LISTINGS) == numbered_files.MAX_LISTINGS


def test_a_name_is_not_left_where_a_file_cannot_be_moved_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", without_links)
    with pytest.raises(FileNotFoundError):
        atomic_write.place_new(tmp_path / "none", tmp_path / "a")
    assert not [*tmp_path.iterdir()]
