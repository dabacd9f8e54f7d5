"""The model files that a workflow says where to find: which of them are missing, and getting them.

Only `weft import --download` gets them, each into the folder of its kind, as files whose form cannot run code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.error import URLError
from urllib.request import Request, urlopen

from weft.engine.errors import InputError, Problem
from weft.engine.graph.graph import Graph
from weft.engine.interop.foreign_graph import ForeignFile

SAFE = frozenset({".safetensors", ".sft", ".gguf"})
"""Endings of files that hold nothing but numbers."""

CHUNK = 2**20

TIMEOUT = 60.0
"""Seconds without an answer after which getting a file ends."""


def files_of(graph: Graph) -> dict[str, tuple[str, ForeignFile]]:
    """The files that the notes of nodes say where to find, by place, with the node."""
    lines = ((id, line) for id, node in graph.nodes.items() for line in node.notes.splitlines())
    found = ((id, file) for id, line in lines if (file := ForeignFile.read(line)))
    return {f"{file.folder}/{file.name}": (id, file) for id, file in found}


def missing_files(graph: Graph, folders: Sequence[Path]) -> Iterator[tuple[str, ForeignFile]]:
    """Those that no folder of models has, with the node that names each."""
    for id, file in files_of(graph).values():
        names = {file.name, PurePosixPath(file.name).name}
        places = (folder / kind / name for folder in folders for kind in ("", file.folder) for name in names)
        if not any(place.is_file() for place in places):
            yield id, file


def problem_of(id: str, file: ForeignFile) -> Problem:
    """The problem of a missing file: where it can be found, and the digest that it has."""
    digest = f", {file.algorithm} {file.digest}" if file.digest else ", without a digest"
    hint = f"it is at {file.url}{digest}; --download gets it into the first folder of --models"
    return Problem(f"the file {file.name} is in no folder of models", hint, id, code="missing-file")


def download(file: ForeignFile, folder: Path) -> Path:
    """Get a file into the folder of its kind below a folder of models.

    Raises:
        InputError: where it cannot be had, its name leads elsewhere, it may run code, or its digest is another one.
    """
    target = _target(file, folder)
    digest = _digest(file)
    part = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            urlopen(Request(file.url, headers={"User-Agent": "weft"}), timeout=TIMEOUT) as answer,
            part.open("wb") as out,
        ):
            while content := answer.read(CHUNK):
                out.write(content)
                if digest:
                    digest.update(content)
        if digest and digest.hexdigest() != file.digest.lower():
            message = f"{file.url} has the {file.algorithm} {digest.hexdigest()}, expected {file.digest.lower()}"
            raise InputError(
                message, "the file was changed since the workflow was saved; get it by hand", "wrong-digest"
            )
        part.replace(target)
    except (URLError, HTTPException, OSError) as fault:
        raise InputError(f"{file.url} cannot be had: {fault}", "check the address", "unreadable-file") from fault
    finally:
        part.unlink(missing_ok=True)
    return target


def _digest(file: ForeignFile) -> hashlib._Hash | None:
    """What computes the digest; None where the workflow gives none."""
    if not file.digest:
        return None
    name = (file.algorithm or "sha256").lower().replace("-", "")
    if name not in ("sha256", "sha512", "sha1", "md5", "blake2b"):
        raise InputError(f"{file.name} has a digest by {file.algorithm}", "get it by hand", "wrong-digest")
    return hashlib.new(name, usedforsecurity=False)


def _target(file: ForeignFile, folder: Path) -> Path:
    name = PurePosixPath(file.name.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or not name.name or ":" in file.name:
        raise InputError(f"the name {file.name} leads out of its folder", "get it by hand", "outside-folders")
    if name.suffix.lower() not in SAFE:
        message = f"{file.name} is not of a form that cannot run code"
        raise InputError(message, f"one of {', '.join(sorted(SAFE))}; convert it first", "unsafe-file")
    return folder / (file.folder or "checkpoints") / name
