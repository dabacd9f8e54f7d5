"""Files that a graph names: where they are looked for, and how they enter a key by content.

A `Resource` marks a string input as the name of something outside the graph: `Annotated[str, InputFile()]`, or a node
library's own kind (a checkpoint). `resolve` reads names and headers only. Read next:
`weft.engine.weights.file_digests`, which hashes the content.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from weft.engine.errors import InputError, listed, nearest
from weft.engine.file_stamp import FileStamp
from weft.engine.keys import Digest, digest
from weft.engine.notices import Notice
from weft.engine.weights.merge_request import MergeRequest


def working_folder() -> Path:
    """The working directory.

    Raises:
        InputError: where it does not exist any more.
    """
    try:
        return Path.cwd()
    except FileNotFoundError:
        message = "the working folder does not exist any more"
        raise InputError(message, "change to a folder that exists", "missing-file") from None


@dataclass(frozen=True)
class SearchPaths:
    """The folders a run may read: the graph's own, the working directory, `--input` and `--models` folders.

    `download` says whether a model that is named by hub id and not here may be fetched; `contents` has the digests of
    files that a picture's graph names, by name, so that results are found again where the files are not.
    """

    base: Path | None = None
    working: Path = field(default_factory=working_folder)
    inputs: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()
    download: bool = False
    contents: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        """The folders in which a file named by a graph is looked up, in order."""
        base = (self.base,) if self.base else ()
        return tuple(dict.fromkeys((*base, self.working, *self.inputs)))


def inside(path: Path, folders: tuple[Path, ...]) -> bool:
    """Whether `path`, with every link followed, lies in one of `folders`."""
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(folder.resolve()) for folder in folders)


def find(text: str, folders: tuple[Path, ...]) -> Path | None:
    """The first existing `folder / text`; None where there is none.

    Raises:
        InputError: where one exists but lies outside every folder.
    """
    wanted = _path(text)
    candidates = (folder / wanted for folder in folders)
    found = [candidate for candidate in candidates if os.path.lexists(candidate)]
    allowed = next((candidate for candidate in found if candidate.exists() and inside(candidate, folders)), None)
    if allowed is None and (found or not any(inside(folder / wanted, folders) for folder in folders)):
        raise _outside(text, found[0] if found else None, folders)
    return allowed


def _outside(text: str, found: Path | None, folders: tuple[Path, ...]) -> InputError:
    """The refusal of a name outside the folders. A link counts as its target, which the message leaves out."""
    readable = f"the folders that this run may read: {listed(map(str, folders))}"
    link = next((one for one in (found, *found.parents) if one.is_symlink()), None) if found else None
    if link and inside(link.parent, folders):
        message = f"`{text}` lies outside {readable}: {link} is a link{'' if link.exists() else ' that leads nowhere'}"
        hint = "name the folder that it leads to with --input DIR (models: --models DIR)"
    else:
        message = f"`{text}` lies outside {readable}"
        hint = "move the file into the folder of the graph, or name its folder with --input DIR (models: --models DIR)"
    return InputError(message, hint, "outside-folders")


def _path(text: str) -> Path:
    """A path that the file system can be asked for."""
    if "\0" in text:
        raise InputError("the name has a NUL character", "give a path", "malformed-path")
    try:
        os.fsencode(text)
        return Path(text).expanduser()
    except (UnicodeEncodeError, RuntimeError) as fault:
        raise InputError(f"{text!r} is no path: {fault}", "give a path", "malformed-path") from None


@dataclass(frozen=True)
class Resolved:
    """The file or folder that a name in a graph means, found by names and headers alone.

    Args:
        text: the name as the graph has it.
        root: the file or folder.
        files: every file whose content counts, in a stable order.
        family: the model family, where there is one.
        kind: what it is, as `weft models list` calls it; empty for plain files.
        facts: what its headers say, a record of the node library that checks, node bodies and loaders share; readers
            narrow it with `isinstance`. None for plain files.
        digest: of the content, where it is known and the files are not here.
        reading: names how its headers are read, where an earlier version of the node library read them otherwise. It is
            part of the digest, so that results of the other reading are not found. Empty for most files.
        notices: what its headers hold that nothing reads.
        about: what its headers say of it in words, for `weft models list`.
    """

    text: str
    root: Path
    files: tuple[Path, ...]
    family: str | None = None
    kind: str = ""
    facts: object | None = field(default=None, repr=False)
    digest: Digest | None = None
    reading: str = ""
    notices: tuple[Notice, ...] = ()
    about: str = ""

    def names(self) -> Iterator[tuple[str, Path]]:
        """Each file with its name under the root; a digest is made of the names and the contents.

        A root that is a file has its ending in place of a name; a file elsewhere has its own name.
        """
        for path in self.files:
            if path == self.root:
                yield path.suffix, path
            else:
                below = path.is_relative_to(self.root)
                yield path.relative_to(self.root).as_posix() if below else path.name, path

    def digest_of(self, contents: Iterable[Digest]) -> Digest:
        """The digest of the whole, by those of its files in their order."""
        named = [(name, content) for (name, _), content in zip(self.names(), contents, strict=True)]
        return digest([self.reading, named] if self.reading else named)


@dataclass(frozen=True)
class HashedResource:
    """A resolved resource with the digest of its content.

    Args:
        stamps: the state of each file when it was hashed; empty where the files are not here.
        settled: whether any write after that shows in the stamps.
    """

    resolved: Resolved
    digest: Digest
    stamps: tuple[FileStamp, ...] = field(default=(), repr=False, compare=False)
    settled: bool = field(default=True, repr=False, compare=False)


class Resource(ABC):
    """Marks a string input that names something outside the graph."""

    @abstractmethod
    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """What `text` names. Reads names and headers only, never whole files.

        Raises:
            InputError: where it is missing, unreadable, outside the places or not what is wanted.
        """

    def available(self, places: SearchPaths) -> Iterator[tuple[str, Resolved]]:
        """The names that can be used here, each with its file, for `weft models list`."""
        return iter(())

    def details(self, found: Resolved) -> Mapping[str, str]:
        """What is known of a model besides its kind and family: `precision`, native `size`, `purpose`, `licence`."""
        return {}

    def structure(self, found: Resolved) -> str:
        """Names files that need as much memory when they are used; empty where that depends on their content."""
        return ""

    def pull(self, text: str, variant: str = "") -> Path:
        """Fetch what `text` names from a hub; where it lies then.

        Raises:
            InputError: where this kind is not fetched, or the hub does not give it.
        """
        raise InputError(f"`{text}` cannot be fetched", "name a file")

    def merge(self, request: MergeRequest, places: SearchPaths) -> Path:
        """Write merged weights; gives where.

        Raises:
            InputError: where this kind is not merged, or these cannot be.
        """
        raise InputError(f"`{request.first}` cannot be merged", "name a checkpoint")


@dataclass(frozen=True)
class InputFile(Resource):
    """A plain file, such as a picture.

    Args:
        suffixes: the lower-case endings that are taken; empty takes any.
        probe: raises `InputError` where the head of the file is not what is wanted.
    """

    suffixes: tuple[str, ...] = ()
    probe: Callable[[Path], None] | None = None

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The file, looked up in the graph's folder, the working directory and the input folders."""
        path = find(text, places.files)
        if path is None:
            message = f"there is no file `{text}` in {listed(map(str, places.files))}"
            raise InputError(message, self._hint(text, places), "missing-file")
        if path.is_dir():
            raise InputError(f"`{text}` is a folder, expected a file", "name a file in it", "wrong-kind-of-file")
        if not path.is_file():
            message = f"`{text}` is a pipe, a socket or a device, expected a file"
            raise InputError(message, "name a file", "wrong-kind-of-file")
        if self.suffixes and path.suffix.lower() not in self.suffixes:
            message = f"`{text}` ends in `{path.suffix}`, expected {listed(self.suffixes)}"
            raise InputError(message, "name another file", "wrong-kind-of-file")
        if self.probe:
            self.probe(path)
        return Resolved(text, path, (path,))

    def _hint(self, text: str, places: SearchPaths) -> str:
        wanted = Path(text)
        folders = (folder / wanted.parent for folder in places.files)
        names = (entry.name for folder in folders if folder.is_dir() for entry in folder.iterdir())
        return nearest(wanted.name, names) or "check the name, or add its folder with --input DIR"
