"""The files of a run, as a result lists them: name, size, media type, and the digest by which they are compared."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from weft.engine.artifact import SUFFIXES, name_fault
from weft.engine.keys import digest_file


class FileRecord(TypedDict):
    """A file of a run; `digest` is BLAKE3 of its bytes."""

    name: str
    media_type: str
    bytes: int
    digest: str


def described_files(paths: Iterable[Path], folder: Path) -> list[FileRecord]:
    """The files that a run delivered into its folder, in their order."""
    return [described(path, folder) for path in paths]


def described(path: Path, folder: Path, digest: str | None = None) -> FileRecord:
    """A file in the folder of a run.

    Args:
        digest: of its content, where that is known.
    """
    return {
        "name": path.relative_to(folder).as_posix(),
        "media_type": next((name for name, one in SUFFIXES.items() if one == path.suffix), "application/octet-stream"),
        "bytes": path.stat().st_size,
        "digest": digest_file(path) if digest is None else digest,
    }


def file_in(folder: Path, name: str) -> Path | None:
    """The file of a name in a folder of a run; None where there is none, or it would lie elsewhere."""
    if name_fault(name) is not None:
        return None
    path = folder / name
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        return None
    return path
