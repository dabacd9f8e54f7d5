"""A user's own Python file with node types, and the modules that it imports from its folder, as they are read.

All sources are read once, before anything of them runs (`weft.engine.spec.node_file_loading` runs them): an import in a
file of a folder, also one in the body of a function, finds the modules of this folder as they were then. Their content
is part of the keys of the node types.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from weft.engine.errors import CatalogError
from weft.engine.file_stamp import FileStamp, wait_for_tick
from weft.engine.keys import Digest, digest, digest_bytes


@dataclass(frozen=True)
class Source:
    """A module as it was read.

    Args:
        path: its file; for a folder without `__init__.py`, the folder.
        stamp: of the file, from before it was read; None for a folder.
    """

    path: Path
    content: bytes
    stamp: FileStamp | None
    is_package: bool = False

    @classmethod
    def read(cls, path: Path, is_package: bool = False) -> Source:
        """Read a file.

        Raises:
            OSError: where it cannot be read.
        """
        wait_for_tick(FileStamp.of(path.stat()))
        stamp = FileStamp.of(path.stat())
        return cls(path, path.read_bytes(), stamp, is_package)


class FileRead(NamedTuple):
    """A file that is read while a node file is run."""

    digest: Digest
    stamp: FileStamp


@dataclass
class NodeFile:
    """A file with node types, and the modules of its folder that it imports, directly or through others.

    Args:
        imports: these modules, by the names under which the folder's files import them.
        option: by which it was named, for messages.
        absent: names of modules that its files cannot import, though Python or the folder may have such ones.
        is_package: whether it is the `__init__.py` of a package, whose modules import each other by relative names.
        missing: files that are imported and not there.
        reads: other files that it depends on, known when it was run (`load`).
    """

    path: Path
    source: Source
    imports: dict[str, Source] = field(default_factory=dict)
    missing: set[Path] = field(default_factory=set)
    reads: dict[Path, FileRead] = field(default_factory=dict)
    option: str = "--nodes"
    absent: frozenset[str] = frozenset()
    is_package: bool = False

    @classmethod
    def read(cls, path: Path, option: str = "--nodes", absent: frozenset[str] = frozenset()) -> NodeFile:
        """Read a file and what it imports from its folder; nothing of it is run.

        Raises:
            CatalogError: where it is no Python file.
        """
        if path.suffix != ".py" or not path.is_file():
            raise CatalogError(f"{option} {path}: expected a Python file")
        try:
            found = cls(path, Source.read(path.resolve()), option=option, absent=absent)
        except OSError as fault:
            raise CatalogError(f"{option} {path}: cannot be read: {fault.strerror or fault}") from fault
        found._follow()
        return found

    @classmethod
    def read_package(cls, folder: Path, option: str, absent: frozenset[str]) -> NodeFile:
        """Read a package with all of its modules, since it may find some of them by names that it computes.

        Raises:
            CatalogError: where it cannot be read, or has too many modules.
        """
        path = folder / "__init__.py"
        try:
            root = Source.read(path.resolve(), is_package=True)
            found = cls(path, root, option=option, absent=absent, is_package=True)
            for name, source in _modules_in(found.folder):
                found.imports[name] = source
                if len(found.imports) > MAX_MODULES:
                    raise CatalogError(f"{option} {folder}: more than {MAX_MODULES:,} modules")
        except OSError as fault:
            raise CatalogError(f"{option} {folder}: cannot be read: {fault.strerror or fault}") from fault
        return found

    @property
    def folder(self) -> Path:
        """The folder whose modules it may import."""
        return self.source.path.parent

    @property
    def module(self) -> str:
        """The name of its module: its own, where that can be the name of one; empty for a package."""
        if self.is_package:
            return ""
        stem = self.source.path.stem
        return stem if stem.isidentifier() else f"file_{digest(os.fsencode(stem))[:8]}"

    @property
    def origin(self) -> Digest:
        """The digest of all this, which is part of the keys of its node types."""
        own = digest_bytes(self.source.content)
        modules = [(name, digest_bytes(one.content)) for name, one in sorted(self.imports.items())]
        if self.reads:
            return digest([own, modules, sorted((self._name(path), one.digest) for path, one in self.reads.items())])
        return digest([own, modules]) if modules else own

    def _name(self, path: Path) -> str:
        """The name of a file in keys: the same where the folder lies elsewhere."""
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else path.name

    @property
    def files(self) -> dict[Path, FileStamp | None]:
        """The files that decide what it is, with their stamps; None for those that are not there."""
        sources = {one.path: one.stamp for one in (self.source, *self.imports.values()) if one.stamp}
        reads = {path: one.stamp for path, one in self.reads.items()}
        return {self.path: self.source.stamp, **reads, **sources, **dict.fromkeys(self.missing)}

    def _follow(self) -> None:
        """Read the modules that it imports, and those that they import."""
        waiting = deque([("", self.source)])
        while waiting:
            package, source = waiting.popleft()
            for name in imported_names(source, package):
                waiting += self._add(name)

    def _add(self, name: str) -> Iterator[tuple[str, Source]]:
        """Add a module and the packages that it is in, as far as they lie in the folder; gives the new ones."""
        parts = name.split(".")
        if parts[0] not in self.imports:
            place = self.folder / parts[0]
            if not place.is_dir() and not place.with_name(f"{place.name}.py").is_file():
                if parts[0] not in sys.modules:
                    self.missing.add(place.with_name(f"{place.name}.py"))
                return
            if is_elsewhere(parts[0], self.folder):
                return
        for count in range(1, len(parts) + 1):
            dotted = ".".join(parts[:count])
            if dotted in self.imports:
                continue
            place = self.folder.joinpath(*parts[:count])
            if place.name == "*":
                for path in sorted(place.parent.glob("*.py")):
                    yield from self._add(f"{'.'.join(parts[:-1])}.{path.stem}")
                return
            source = _source_at(place)
            if source is None:
                self.missing.add(place.with_name(f"{place.name}.py"))
                return
            self.imports[dotted] = source
            yield (dotted if source.is_package else dotted.rpartition(".")[0]), source


MAX_MODULES = 2_000
"""Modules of a package."""


def _modules_in(folder: Path) -> Iterator[tuple[str, Source]]:
    """The modules of a package's folder, and of those in it, by their names in the package; hidden folders aside."""
    waiting = deque([(folder, "")])
    while waiting:
        place, prefix = waiting.popleft()
        for path in sorted(place.iterdir()):
            if path.suffix == ".py" and path.name != "__init__.py" and "." not in path.stem:
                yield f"{prefix}{path.stem}", Source.read(path)
            elif path.is_dir() and not path.is_symlink() and "." not in path.name and path.name != "__pycache__":
                found = _source_at(path)
                if found is not None and (found.stamp or any(path.glob("*.py"))):
                    yield f"{prefix}{path.name}", found
                waiting.append((path, f"{prefix}{path.name}."))


def _source_at(place: Path) -> Source | None:
    """The package or module of a path without ending; None where there is none."""
    try:
        if (place / "__init__.py").is_file():
            return Source.read(place / "__init__.py", is_package=True)
        if place.with_name(f"{place.name}.py").is_file():
            return Source.read(place.with_name(f"{place.name}.py"))
        return Source(place, b"", None, is_package=True) if place.is_dir() else None
    except (OSError, ValueError):
        return None


def is_elsewhere(name: str, folder: Path) -> bool:
    """Whether Python finds a module of this name outside of the folder."""
    if name in sys.stdlib_module_names:
        return True
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return name in sys.modules
    if spec is None:
        return False
    places = [spec.origin] if spec.origin else [*(spec.submodule_search_locations or ())]
    return not any(Path(place).resolve().is_relative_to(folder) for place in places)


def imported_names(source: Source, package: str) -> Iterator[str]:
    """The names of modules that a source may import, wherever in it; what it takes from one may be a module too.

    Args:
        package: the package that relative names start from.
    """
    try:
        tree = ast.parse(source.content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # found again when it is run
        return
    for found in ast.walk(tree):
        if isinstance(found, ast.Import):
            yield from (alias.name for alias in found.names)
        elif isinstance(found, ast.ImportFrom):
            parts = package.split(".") if package else []
            base = parts[: len(parts) - found.level + 1] if found.level else []
            base = [*base, *(found.module.split(".") if found.module else ())]
            yield from (".".join([*base, alias.name]) for alias in found.names)


def module_chain(folder: Path, name: str) -> Iterator[tuple[str, Source]]:
    """A module of a folder after the packages that it is in, as far as they are there."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        source = _source_at(folder.joinpath(*parts[:count]))
        if source is None:
            return
        yield ".".join(parts[:count]), source
