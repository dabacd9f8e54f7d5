"""Artifacts to files: numbered, never overwriting, written under another name and put in place whole.

A picture gets its graph here, as PNG text chunks, so nothing of it is in a key or in the store. Where a file of the
name has exactly these bytes already, that one is given instead of a copy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import orjson

from weft.engine import png
from weft.engine.artifact import SUFFIXES, Artifact, name_fault
from weft.engine.errors import InputError
from weft.engine.planning.planner import Step
from weft.engine.running.numbered_files import place

GRAPH_KEYWORD = "weft"
RUN_KEYWORD = "weft:run"


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
        path, new = place(stem, SUFFIXES[artifact.media_type], content)
        return Delivered(str(path), new)

    def _content(self, artifact: Artifact, step: Step) -> bytes:
        if self.graph is None or not png.is_png(artifact.data):
            return artifact.data
        run = {"node": step.call.id, "key": step.recipe, "contents": dict(self.contents), **versions()}
        return png.with_text(artifact.data, {GRAPH_KEYWORD: self.graph(), RUN_KEYWORD: orjson.dumps(run).decode()})


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
