"""A copy of a graph that ships, with the files that it names, for `weft new`. Nothing is written over."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from weft.engine.atomic_write import place_new, write_temporary
from weft.engine.errors import InputError
from weft.engine.shipped_graphs import ShippedGraph
from weft.engine.spec.catalog import Catalog

_SCHEMA = re.compile(rb'^\s*"\$schema":\s*"[^"\n]*",\n', re.MULTILINE)
"""The line that names the schema by its place in the library; `weft schema --write DIR` writes one for one's own."""


def copy_graph(one: ShippedGraph, file: Path, catalog: Catalog) -> list[Path]:
    """Write a copy of a graph, and of the files that it names into places relative to it.

    Returns:
        The files that were written, the graph first.

    Raises:
        InputError: where a file is there already with other content, or cannot be written; nothing is written then.
    """
    wanted = {file: _SCHEMA.sub(b"", one.path.read_bytes(), count=1)}
    for name, path in one.files(catalog).items():
        content = path.read_bytes()
        wanted[file.parent / name] = _SCHEMA.sub(b"", content, count=1) if path.suffix == ".json" else content
    missing = [path for path, content in wanted.items() if path == file or not _has(path, content)]
    for path in missing:
        if path.exists():
            raise InputError(
                f"`{path}` is there already; nothing was written",
                f"name another file or folder: weft new {one.name} FILE",
                "file-exists",
            )
    for path in reversed(missing):
        _write_new(path, wanted[path])
    return missing


def _has(path: Path, content: bytes) -> bool:
    with suppress(OSError):
        return path.read_bytes() == content
    return False


def _write_new(path: Path, content: bytes) -> None:
    try:
        temporary = Path(write_temporary(path, content))
        try:
            place_new(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as fault:
        message = f"`{path}` cannot be written: {fault.strerror}"
        raise InputError(message, "name another file or folder", "unwritable-file") from None
