"""What is flushed is as it was; what is not there is an error of the system."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.engine.flushed_files import flush


def test_files_and_folders_are_flushed_and_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    flush(tmp_path / "file")
    flush(tmp_path)
    assert (tmp_path / "file").read_bytes() == b"content"
    with pytest.raises(FileNotFoundError):
        flush(tmp_path / "none")
