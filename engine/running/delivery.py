"""Artifacts to files: numbered, never overwriting, written under another name and put in place whole.

A picture gets its graph here, as PNG text chunks, so nothing of it is in a key or in the store. Where the newest files
of a name include one with exactly these bytes, that one is given instead of a copy.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import orjson

from weft.engine import png
from weft.engine.artifact import SUFFIXES, Artifact, name_fault
from weft.engine.atomic_write import write_temporary
from weft.engine.errors import InputError
from weft.engine.planning.planner import Step

GRAPH_KEYWORD = "weft"
RUN_KEYWORD = "weft:run"

_PLACING = tuple(threading.Lock() for _ in range(16))
"""Locks by name, so that runs of one process which deliver under one name at once number their files one by one, and
the second of two equal files is found to be there."""


@dataclass(frozen=True)
class Delivered:
    """Where an artifact lies, and whether anything had to be written."""

    path: str
    new: bool


@dataclass(frozen=True)
class Folder:
    """Delivers artifacts into a folder.

    Args:
        folder: made when the first artifact comes.
        graph: gives the graph as JSON text, for pictures to carry; None leaves all metadata out.
        contents: the digests of the files that the graph names, by name, for pictures to carry.
    """

    folder: Path
    graph: Callable[[], str] | None = None
    contents: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, artifact: Artifact, step: Step) -> Delivered:
        """Write the artifact, or find it written.

        Raises:
            InputError: for a name that would leave the folder, or a media type without a file ending.
        """
        fault = name_fault(artifact.name)
        if fault:
            raise InputError(fault, "give a plain name, with / for subfolders", "malformed-path")
        if artifact.media_type not in SUFFIXES:
            raise InputError(
                f"{artifact.media_type} is no media type that can be written",
                f"one of {', '.join(SUFFIXES)}",
                "unknown-media-type",
            )
        stem = self.folder / artifact.name
        if stem.parent != self.folder and not stem.parent.resolve().is_relative_to(self.folder.resolve()):
            message = f"{artifact.name!r} would leave the output folder through a link"
            raise InputError(message, "remove the link", "outside-folders")
        stem.parent.mkdir(parents=True, exist_ok=True)
        content = self._content(artifact, step)
        with _PLACING[hash(stem) % len(_PLACING)]:
            return _place(stem, SUFFIXES[artifact.media_type], content)

    def _content(self, artifact: Artifact, step: Step) -> bytes:
        if self.graph is None or not png.is_png(artifact.data):
            return artifact.data
        run = {"node": step.call.id, "key": step.recipe, "contents": dict(self.contents), **versions()}
        return png.with_text(artifact.data, {GRAPH_KEYWORD: self.graph(), RUN_KEYWORD: orjson.dumps(run).decode()})


def _place(stem: Path, suffix: str, content: bytes) -> Delivered:
    taken = _numbered(stem, suffix)
    for path in taken.values():
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            return Delivered(str(path), new=False)
    temporary = Path(write_temporary(stem.with_name(f"{stem.name}{suffix}"), content))
    number = max(taken, default=0) + 1
    try:
        while not _claim(temporary, path := stem.with_name(f"{stem.name}_{number:04d}{suffix}")):
            number += 1
    finally:
        temporary.unlink(missing_ok=True)
    return Delivered(str(path), new=True)


def _numbered(stem: Path, suffix: str) -> dict[int, Path]:
    """The files of this name by number."""
    pattern = re.compile(rf"{re.escape(stem.name)}_(\d{{4,}}){re.escape(suffix)}\Z")
    found = ((pattern.match(entry.name), entry) for entry in os.scandir(stem.parent))
    return {int(match.group(1)): Path(entry.path) for match, entry in found if match}


def _claim(temporary: Path, path: Path) -> bool:
    """Give the finished file its name, unless something has it; atomic also between processes."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if path.exists():
            return False
        temporary.rename(path)
    return True


@cache
def versions() -> dict[str, str]:
    """The versions of the libraries that pictures depend on, without importing them."""
    found = {}
    for name in ("weft-engine", "torch", "diffusers", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Carried:
    """What a picture carries of its run.

    Args:
        graph: the graph as JSON text.
        contents: the digests of the files that the graph names, by name.
    """

    graph: bytes
    contents: Mapping[str, str]


def carried(path: Path) -> Carried | None:
    """What a picture carries; None where it carries no graph or is no PNG."""
    content = path.read_bytes()
    texts = png.texts(content) if png.is_png(content) else {}
    if GRAPH_KEYWORD not in texts:
        return None
    return Carried(texts[GRAPH_KEYWORD].encode(), _contents(texts.get(RUN_KEYWORD, "")))


def _contents(text: str) -> dict[str, str]:
    """The digests in a run's text; what is none is left out, as pictures come from strangers too."""
    try:
        found = orjson.loads(text)["contents"]
        return {name: known for name, known in found.items() if re.fullmatch("[0-9a-f]{64}", known)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
