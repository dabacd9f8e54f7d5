"""Artifacts to files: numbered, never overwriting, written under another name and put in place whole.

A picture gets its graph here, in its metadata, so nothing of it is in a key or in the store. Where a file of the
name has exactly these bytes already, that one is given instead of a copy. So is one of the newest files with the same
picture of a node with the same recipe key: only other parts of the graph that it carries are different.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from weft.engine.artifact import SUFFIXES, Artifact, name_fault
from weft.engine.atomic_write import check_writable, make_folder
from weft.engine.errors import InputError, writing_hint
from weft.engine.picture_text import GRAPH, MAX_TEXT, RUN, of_others, texts_of, texts_of_graph, with_texts
from weft.engine.planning.planner import Step
from weft.engine.running.numbered_files import place
from weft.engine.verdict import Verdict


@dataclass(frozen=True)
class Delivered:
    """Where an artifact lies, whether anything had to be written, and what was found out about it."""

    path: str
    new: bool
    verdict: Verdict | None = None


def check_output(folder: Path) -> None:
    """Check that files can be written into an output folder, before the work that they come from.

    Raises:
        InputError: where they cannot (`unwritable-file`).
    """
    try:
        check_writable(folder)
    except OSError as fault:
        raise unwritable(fault) from fault


def unwritable(fault: OSError) -> InputError:
    """The error for an output that cannot be written."""
    message = f"cannot write {fault.filename or 'the output folder'}: {fault.strerror or fault}"
    error = InputError(message, writing_hint(fault, "--out DIR"), "unwritable-file")
    error.__cause__ = fault
    return error


@dataclass(frozen=True)
class Folder:
    """Delivers artifacts into a folder.

    Args:
        folder: made when the first artifact comes.
        graph: gives the graph as JSON text, for pictures to carry; None leaves all metadata out.
        contents: the digests of the files that the graph names, by name, for pictures to carry.
        judged: gives what is to be written of a picture or a clip, with the verdict; None where nobody demands that.
    """

    folder: Path
    graph: Callable[[], str] | None = None
    contents: Mapping[str, str] = field(default_factory=dict)
    judged: Callable[[Artifact], Artifact] | None = None

    def __call__(self, artifact: Artifact, step: Step, item: int | None = None) -> Delivered:
        """Write the artifact, or find it written.

        Args:
            item: which of the artifacts of the step it is, where there are several.

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
        make_folder(stem.parent)
        if self.judged and artifact.media_type.startswith(("image/", "video/")):
            artifact = self.judged(artifact)
        content = self._content(artifact, step, item)
        made_before = partial(self._made_before, artifact.data, self._run(step, item))
        path, new = place(stem, SUFFIXES[artifact.media_type], content, made_before)
        return Delivered(str(path), new, artifact.verdict)

    def _content(self, artifact: Artifact, step: Step, item: int | None) -> bytes:
        if self.graph is None or not artifact.media_type.startswith("image/"):
            return artifact.data
        run = {"node": step.call.id, **self._run(step, item), "contents": dict(self.contents), **versions()}
        if artifact.verdict:
            run["safety"] = artifact.verdict.plain()
        return with_texts(artifact.data, {**texts_of_graph(self.graph()), RUN: orjson.dumps(run).decode()})

    def _run(self, step: Step, item: int | None) -> dict[str, Any]:
        """What identifies a picture: the recipe key of its node, and its number among those of the node."""
        return {"key": step.recipe} if item is None else {"key": step.recipe, "item": item}

    def _made_before(self, data: bytes, run: Mapping[str, Any], path: Path) -> bool:
        """Whether a file is a picture that the same run of a node made, though in a graph with other nodes."""
        if self.graph is None or path.stat().st_size <= len(data):
            return False
        with path.open("rb") as file:
            texts = texts_of(file, MAX_TEXT)
        if not {GRAPH, RUN} <= texts.keys() or not _is_of(texts[RUN], run):
            return False
        own = {GRAPH: texts[GRAPH], **of_others(texts), RUN: texts[RUN]}
        return with_texts(data, own) == path.read_bytes()


def _is_of(text: str, run: Mapping[str, Any]) -> bool:
    """Whether the text of a picture has the facts of a run; a text may come from a stranger."""
    try:
        found = orjson.loads(text)
        return {name: found[name] for name in ("key", "item") if name in found} == run
    except (ValueError, TypeError):
        return False


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
