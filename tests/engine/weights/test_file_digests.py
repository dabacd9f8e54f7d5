"""Digests of files: a file is hashed again whenever its content may be another, and not otherwise."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.refusals import refused
from weft.engine import Resolved
from weft.engine.errors import ChangedFile
from weft.engine.file_stamp import CLOCKS_AGREE, SETTLING, FileStamp
from weft.engine.keys import digest_bytes
from weft.engine.weights.digest_memory import WORTH_REWRITING, DigestMemory, Seen
from weft.engine.weights.file_digests import FileDigests

OLD = 1_700_000_000


def later() -> int:
    """A clock by which every file was written long ago."""
    return time.time_ns() + 2 * CLOCKS_AGREE


def replaced(file: Path, content: bytes) -> None:
    other = file.with_suffix(".new")
    other.write_bytes(content)
    other.replace(file)


def overwritten(file: Path, content: bytes) -> None:
    with file.open("r+b") as opened:
        opened.write(content)


def copied(file: Path, content: bytes) -> None:
    other = file.with_suffix(".other")
    other.write_bytes(content)
    os.utime(other, (OLD, OLD))
    shutil.copy2(other, file)


def written_by_another_name(file: Path, content: bytes) -> None:
    other = file.with_suffix(".hard")
    os.link(file, other)
    other.write_bytes(content)


def linked(file: Path, content: bytes) -> None:
    other = file.with_suffix(".target")
    other.write_bytes(content)
    file.unlink()
    file.symlink_to(other)


WAYS = [replaced, overwritten, copied, written_by_another_name, linked, Path.write_bytes]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")
    os.utime(path, (OLD, OLD))
    return path


@pytest.mark.parametrize("clock", [time.time_ns, later])
@pytest.mark.parametrize("write", WAYS)
def test_content_that_was_replaced_is_seen_though_size_and_time_are_what_they_were(
    write: Callable[[Path, bytes], object], clock: Callable[[], int], file: Path, tmp_path: Path
) -> None:
    digests = FileDigests(tmp_path / "files.json", clock)
    found = digests.of(Resolved("a", file, (file,)))
    digests.save()
    write(file, b"behind")
    os.utime(file, (OLD, OLD))
    assert digests.file(file).content == digest_bytes(b"behind")
    assert FileDigests(tmp_path / "files.json", clock).file(file).content == digest_bytes(b"behind")
    with pytest.raises(ChangedFile):
        digests.verify(found)


@pytest.mark.parametrize("clock", [time.time_ns, later])
def test_content_that_was_there_and_is_gone_again_is_seen(file: Path, clock: Callable[[], int]) -> None:
    digests = FileDigests(now=clock)
    found = digests.of(Resolved("a", file, (file,)))
    digests.verify(found)
    for content in (b"behind", b"before"):
        overwritten(file, content)
        os.utime(file, (OLD, OLD))
    with pytest.raises(ChangedFile):
        digests.verify(found)


def remembered(memory: Path, file: Path) -> str | None:
    """The digest of a file that is on disk."""
    seen = DigestMemory(memory).get(str(file.resolve()))
    assert seen is not None
    return seen.content


def test_a_file_that_was_just_written_is_not_remembered(file: Path, tmp_path: Path) -> None:
    memory, hour = tmp_path / "files.json", CLOCKS_AGREE
    for age, content in ((0, None), (SETTLING // 2, None), (hour + SETTLING, digest_bytes(b"before"))):
        digests = FileDigests(memory, lambda age=age: file.stat().st_ctime_ns + age)  # type: ignore[misc]
        assert digests.file(file).settled == (content is not None)
        digests.save()
        assert remembered(memory, file) == content


def test_a_file_from_the_future_is_remembered_once_it_was_seen_some_time_ago(file: Path, tmp_path: Path) -> None:
    memory, future = tmp_path / "files.json", time.time() + 10**8
    os.utime(file, (future, future))
    for moment, content in ((0, None), (SETTLING // 2, None), (2 * SETTLING, digest_bytes(b"before"))):
        digests = FileDigests(memory, lambda moment=moment: 10**18 + moment)  # type: ignore[misc]
        digests.file(file)
        digests.save()
        assert remembered(memory, file) == content


def test_what_is_remembered_is_not_hashed_again(file: Path, tmp_path: Path) -> None:
    other = digest_bytes(b"another content, so that it shows where it comes from")
    seen = Seen(FileStamp.of(file.stat()), other, 0)
    DigestMemory(tmp_path / "files.json").add({str(file.resolve()): seen})
    assert FileDigests(tmp_path / "files.json").file(file).content == other


def test_what_another_process_hashed_meanwhile_is_not_hashed_again(file: Path, tmp_path: Path) -> None:
    mine, others = FileDigests(tmp_path / "files.json"), FileDigests(tmp_path / "files.json")
    other = digest_bytes(b"another content, so that it shows where it comes from")
    DigestMemory(tmp_path / "files.json").add({str(file.resolve()): Seen(FileStamp.of(file.stat()), other, 0)})
    assert mine.file(file).content == others.file(file).content == other


@pytest.mark.parametrize("content", [b"", b"[]", b"not JSON", b'{"x": 1}', b"0123456789abcdef []", b"\xff\n\n \n"])
def test_a_damaged_memory_is_added_to(content: bytes, file: Path, tmp_path: Path) -> None:
    memory = tmp_path / "files.json"
    memory.write_bytes(content)
    digests = FileDigests(memory, later)
    assert digests.file(file).content == digest_bytes(b"before")
    digests.save()
    assert remembered(memory, file) == digest_bytes(b"before")


def test_a_line_that_was_cut_short_costs_no_other_one(file: Path, tmp_path: Path) -> None:
    memory = DigestMemory(tmp_path / "files.json")
    seen = Seen(FileStamp.of(file.stat()), digest_bytes(b""), 0)
    memory.add({"one": seen})
    whole = memory.path.read_bytes()
    for length in range(len(whole)):
        memory.path.write_bytes(whole + whole[:length])
        DigestMemory(memory.path).add({"two": seen})
        assert [DigestMemory(memory.path).get(name) for name in ("one", "two")] == [seen, seen]


def test_remembering_one_file_more_writes_one_line(file: Path, tmp_path: Path) -> None:
    memory = DigestMemory(tmp_path / "files.json")
    seen = Seen(FileStamp.of(file.stat()), digest_bytes(b""), 0)
    written = 0
    for number in range(300):
        before = memory.path.stat().st_size if number else 0
        memory.add({f"{number}.bin": seen})
        written += memory.path.stat().st_size - before
    assert written < 300 * 250


def test_a_memory_of_outdated_lines_is_rewritten(file: Path, tmp_path: Path) -> None:
    memory = DigestMemory(tmp_path / "files.json")
    name = str(file.resolve())
    for number in range(WORTH_REWRITING + 10):
        seen = Seen(FileStamp.of(file.stat()), digest_bytes(b"%d" % number), number)
        memory.add({name: seen, "gone.bin": seen} if not number else {name: seen})
    assert memory.path.stat().st_size < WORTH_REWRITING * 50
    assert DigestMemory(memory.path).get(name) == memory.get(name) == seen
    assert DigestMemory(memory.path).get("gone.bin") is None


def test_a_file_whose_name_is_no_text_is_hashed(tmp_path: Path) -> None:
    try:
        file = tmp_path / os.fsdecode(b"\xff.bin")
        file.write_bytes(b"x")
    except OSError:
        pytest.skip("names are text on this file system")
    digests = FileDigests(tmp_path / "files.json", later)
    assert digests.file(file).content == digest_bytes(b"x")
    digests.save()


def test_a_file_that_is_gone_or_no_file_any_more_was_changed(file: Path) -> None:
    digests = FileDigests()
    found = digests.of(Resolved("a", file, (file,)))
    file.unlink()
    for _ in range(2):
        with pytest.raises(ChangedFile):
            digests.verify(found)
        with pytest.raises(ChangedFile):
            digests.file(file)
        file.mkdir(exist_ok=True)


def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(file: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes here")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ChangedFile):
        FileDigests().file(file)


def test_a_file_that_cannot_be_read_is_refused(file: Path) -> None:
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("this user reads everything")
    with refused("unreadable-resource", file.name):
        FileDigests().file(file)


def test_threads_that_hash_files_at_once_keep_all_of_them(tmp_path: Path) -> None:
    memory, faults = tmp_path / "files.json", list[BaseException]()
    files = [tmp_path / f"{number}.bin" for number in range(40)]
    for file in files:
        file.write_bytes(file.name.encode())
    digests = FileDigests(memory, later)

    def work() -> None:
        try:
            for file in files:
                assert digests.of(Resolved(file.name, file, (file,)))
                digests.save()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not faults
    assert [remembered(memory, file) for file in files] == [digest_bytes(file.name.encode()) for file in files]
    assert {path.name for path in tmp_path.iterdir()} == {memory.name, *(file.name for file in files)}


HASHER = """
import sys, time
from pathlib import Path
from weft.engine.weights.file_digests import FileDigests
folder, first = Path(sys.argv[1]), int(sys.argv[2])
digests = FileDigests(folder / "files.json", lambda: time.time_ns() + 10**16)
for number in range(first, 80, 2):
    digests.file(folder / f"{number}.bin")
    digests.save()
"""


def test_processes_that_hash_files_at_once_keep_all_of_them(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.bin" for number in range(80)]
    for file in files:
        file.write_bytes(file.name.encode())
    processes = [subprocess.Popen([sys.executable, "-c", HASHER, str(tmp_path), str(first)]) for first in (0, 1)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert [remembered(tmp_path / "files.json", file) for file in files] == [
        digest_bytes(file.name.encode()) for file in files
    ]
