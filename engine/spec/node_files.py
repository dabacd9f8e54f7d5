"""Node types of a user's own Python files, with the modules that they import from their folders.

All sources are read once, before anything of them runs: an import in a file of a folder, also one in the body of a
function, finds the modules of this folder as they were then. Their content is part of the keys of the node types.

The modules have private names in `sys.modules`, so those of two folders do not meet, and nothing is added to
`sys.path`: only these files can import them. A name that Python finds elsewhere, such as an installed package, means
that one, so that a file that somebody puts next to the user's own takes the place of no library.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from weft.engine.errors import CatalogError, described, listed
from weft.engine.file_stamp import FileStamp, wait_for_tick
from weft.engine.interrupts import is_interrupt
from weft.engine.keys import Digest, digest, digest_bytes
from weft.engine.spec.catalog import types_of
from weft.engine.spec.node import NodeType

PREFIX = "weft_user_nodes_"
"""How the names of these modules begin in `sys.modules`."""


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


@dataclass
class NodeFile:
    """A file with node types, and the modules of its folder that it imports, directly or through others.

    Args:
        imports: these modules, by the names under which the folder's files import them.
        missing: files that are imported and not there.
    """

    path: Path
    source: Source
    imports: dict[str, Source] = field(default_factory=dict)
    missing: set[Path] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> NodeFile:
        """Read a file and what it imports from its folder; nothing of it is run.

        Raises:
            CatalogError: where it is no Python file.
        """
        if path.suffix != ".py" or not path.is_file():
            raise CatalogError(f"--nodes {path}: expected a Python file")
        try:
            found = cls(path, Source.read(path.resolve()))
        except OSError as fault:
            raise CatalogError(f"--nodes {path}: cannot be read: {fault.strerror or fault}") from fault
        found._follow()
        return found

    @property
    def folder(self) -> Path:
        """The folder whose modules it may import."""
        return self.source.path.parent

    @property
    def module(self) -> str:
        """The name of its module: its own, where that can be the name of one."""
        stem = self.source.path.stem
        return stem if stem.isidentifier() else f"file_{digest(os.fsencode(stem))[:8]}"

    @property
    def origin(self) -> Digest:
        """The digest of all this, which is part of the keys of its node types."""
        own = digest_bytes(self.source.content)
        modules = [(name, digest_bytes(one.content)) for name, one in sorted(self.imports.items())]
        return digest([own, modules]) if modules else own

    @property
    def files(self) -> dict[Path, FileStamp | None]:
        """The files that decide what it is, with their stamps; None for those that are not there."""
        sources = {one.path: one.stamp for one in (self.source, *self.imports.values()) if one.stamp}
        return {self.path: self.source.stamp, **sources, **dict.fromkeys(self.missing)}

    def _follow(self) -> None:
        """Read the modules that it imports, and those that they import."""
        waiting = deque([("", self.source)])
        while waiting:
            package, source = waiting.popleft()
            for name in _imported(source, package):
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
            if _is_elsewhere(parts[0], self.folder):
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


def _is_elsewhere(name: str, folder: Path) -> bool:
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


def _imported(source: Source, package: str) -> Iterator[str]:
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


class _Space:
    """The modules of one folder under a name of their own.

    Args:
        name: of the package that stands for the folder.
        imports: the modules, by the names under which the folder's files import them.
        files: those with node types.
    """

    def __init__(self, name: str, folder: Path, imports: Mapping[str, Source], files: Mapping[str, Source]) -> None:
        self.name = name
        self.sources = {**files, **imports}
        self.top = {one.partition(".")[0] for one in imports}
        self.builtins = {**vars(builtins), "__import__": self._import}
        package = ModuleType(name, f"The modules of {folder}.")
        package.__path__ = []
        sys.modules[name] = package

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What an import statement of these modules calls: `__import__`, with the folder's modules in front."""
        top = name.partition(".")[0]
        if level or top not in self.top:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        found = builtins.__import__(f"{self.name}.{name}", globals, locals, fromlist or (), 0)
        return found if fromlist else sys.modules[f"{self.name}.{top}"]

    def spec(self, name: str) -> ModuleSpec | None:
        """How a module of the folder is loaded; None where it was not read."""
        source = self.sources.get(name)
        if source is None:
            return None
        spec = importlib.util.spec_from_file_location(
            f"{self.name}.{name}", source.path, loader=_FromSource(source, self)
        )
        if spec and source.is_package:
            # The path of a package stays empty: in a folder, Python would find its modules as they are by now, or as
            # bytecode of an earlier state.
            spec.submodule_search_locations = []
        return spec


class _FromSource(Loader):
    """Runs a source as it was read. Bytecode is never kept: Python tells it by size and second."""

    def __init__(self, source: Source, space: _Space) -> None:
        self.source = source
        self.space = space

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self.space.builtins
        exec(compile(self.source.content, str(self.source.path), "exec", dont_inherit=True), vars(module))


class _Finder(MetaPathFinder):
    """Finds modules of the spaces by their private names, and no others."""

    def find_spec(self, fullname: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        name, _, rest = fullname.partition(".")
        space = _SPACES.get(name) if name.startswith(PREFIX) else None
        return space.spec(rest) if space and rest else None


_SPACES: dict[str, _Space] = {}

_LATEST: dict[Path, str] = {}
"""The space of each folder that was loaded last."""

sys.meta_path.append(_Finder())


_LOADING = threading.RLock()


def load(files: Sequence[NodeFile]) -> list[tuple[NodeFile, list[NodeType]]]:
    """Run files and give the node types of each. Files of one folder share the modules that they import.

    Raises:
        CatalogError: where one cannot be imported or has no node.
    """
    with _LOADING:
        spaces = {folder: _space(folder, files) for folder in {one.folder for one in files}}
        return [(one, _types(one, f"{spaces[one.folder].name}.{one.module}")) for one in files]


def _space(folder: Path, files: Iterable[NodeFile]) -> _Space:
    own = {one.module: one.source for one in files if one.folder == folder}
    imports = {name: source for one in files if one.folder == folder for name, source in one.imports.items()}
    # Named by content: functions of an earlier state go on with the modules of that state. Engines that read one state
    # have the same classes; a state that is there again is run again, since value classes are those that ran last.
    named = [(name, digest_bytes(one.content)) for name, one in sorted({**own, **imports}.items())]
    name = f"{PREFIX}{digest([os.fsencode(folder), named])[:16]}"
    if _LATEST.get(folder) != name:
        for known in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
            del sys.modules[known]
        _SPACES[name] = _Space(name, folder, imports, own)
        _LATEST[folder] = name
    return _SPACES[name]


def _types(file: NodeFile, name: str) -> list[NodeType]:
    try:
        module = importlib.import_module(name)
    except BaseException as fault:
        if is_interrupt(fault):
            raise
        raise CatalogError(f"--nodes {file.path}: {described(fault)}") from fault
    own = [type for type in types_of(module) if type.function.__module__ == name]
    if not own:
        others = listed(key for key in vars(module) if not key.startswith("_"))
        raise CatalogError(f"--nodes {file.path}: no function with @node in it (found: {others or 'nothing'})")
    return [replace(type, origin=file.origin) for type in own]
