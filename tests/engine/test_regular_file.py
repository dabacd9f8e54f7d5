"""Only regular files of a bounded size are read, whatever lies under their name."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from weft.engine.regular_file import UNFIT, check_regular, opened_regular, read_regular


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"", b"some bytes", bytes(3_000_000)):
        path.write_bytes(content)
        assert read_regular(path, len(content)) == content
        with opened_regular(path) as (descriptor, size):
            assert size == len(content) and os.read(descriptor, 10) == content[:10]


def test_a_larger_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(2**43)
    for read in (read_regular, check_regular):
        with pytest.raises(OSError) as refusal:
            read(path, 10**6)
        assert refusal.value.errno in UNFIT


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes in folders")
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
    for path in (tmp_path / "pipe", tmp_path / "folder", tmp_path / "socket", Path("/dev/zero")):
        for read in (read_regular, check_regular):
            with pytest.raises(OSError) as refusal:
                read(path, 10**6)
            assert refusal.value.errno in UNFIT


def test_links_are_followed_unless_they_may_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 10) == b"content"
    with pytest.raises(OSError):
        read_regular(tmp_path / "link", 10, follow=False)
