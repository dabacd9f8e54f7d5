"""Runs a user's own files with node types, and the modules next to them, from what was read of them.

The modules have private names in `sys.modules`, so those of two folders do not meet, and nothing is added to
`sys.path`: only these files can import them. A name that Python finds elsewhere, such as an installed package, means
that one, so that a file that somebody puts next to the user's own takes the place of no library.

A file may read more while it is run: modules of folders that it adds to `sys.path`, what `importlib` and `runpy` run,
data. It is noted as it is opened (`weft.engine.spec.import_reads`) and is part of the keys too. Where some of it has
changed, the next engine of the process runs the file again.
"""

from __future__ import annotations

import builtins
import importlib.util
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from weft.engine.errors import CatalogError, described, listed
from weft.engine.file_stamp import FileStamp
from weft.engine.interrupts import is_interrupt
from weft.engine.keys import digest, digest_bytes, digest_file
from weft.engine.spec.catalog import Catalog, types_of
from weft.engine.spec.import_reads import digests_of, forget_stale_bytecode, reads_noted
from weft.engine.spec.node import NodeType
from weft.engine.spec.node_files import FileRead, NodeFile, Source, imported_names, is_elsewhere, module_chain

PREFIX = "weft_user_nodes_"
"""How the names of these modules begin in `sys.modules`."""


class _Space:
    """The modules of one folder under a name of their own.

    Args:
        name: of the package that stands for the folder.
        imports: the modules, by the names under which the folder's files import them.
        files: those with node types; that of a package has the name "".
        absent: names of modules that they cannot import.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        imports: Mapping[str, Source],
        files: Mapping[str, Source],
        absent: frozenset[str] = frozenset(),
    ) -> None:
        self.name = name
        self.folder = folder
        self.sources = {**files, **imports}
        self.absent = absent
        self.reads: dict[Path, FileRead] = {}
        self.top = {one.partition(".")[0] for one in imports}
        if "" in files:  # modules of a package were read whether or not they are imported by these names
            self.top = {one for one in self.top if not is_elsewhere(one, folder)}
        self.builtins = {**vars(builtins), "__import__": self._import}
        self.package = ModuleType(name, f"The modules of {folder}.")
        self.package.__path__ = []
        if "" not in files:
            sys.modules[name] = self.package

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
        if not level and top in self.absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if level or top not in self.top:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        found = builtins.__import__(f"{self.name}.{name}", globals, locals, fromlist or (), 0)
        return found if fromlist else sys.modules[f"{self.name}.{top}"]

    def is_outdated(self) -> bool:
        """Whether one of the files that were read while its modules were run is another by now."""
        return digests_of(self.reads) != {path: one.digest for path, one in self.reads.items()}

    def spec(self, name: str) -> ModuleSpec | None:
        """How a module of the folder is loaded; None where it was not read."""
        source = self.sources.get(name)
        if source is None:
            return None
        full = f"{self.name}.{name}" if name else self.name
        spec = importlib.util.spec_from_file_location(full, source.path, loader=_FromSource(source, self))
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
        return space.spec(rest) if space else None


_SPACES: dict[str, _Space] = {}

_LATEST: dict[Path, str] = {}
"""The space of each folder that was loaded last."""

sys.meta_path.append(_Finder())


_LOADING = threading.RLock()

_READ: set[Path] = set()
"""The sources of modules that node files import by `sys.path`. Each space reads its own."""

RUNS = 3
"""How often a file is run where what it reads changes meanwhile."""


def load(files: Sequence[NodeFile]) -> list[tuple[NodeFile, list[NodeType]]]:
    """Run files and give the node types of each. Files of one folder share the modules that they import.

    What they read meanwhile is in their `reads`, also where they fail.

    Raises:
        CatalogError: where one cannot be imported or has no node.
    """
    with _LOADING:
        spaces = {folder: _space(folder, files) for folder in {one.folder for one in files}}
        return [(one, _types(one, _module(one, spaces[one.folder]))) for one in files]


def run_files(files: Sequence[NodeFile]) -> list[ModuleType | CatalogError]:
    """Run files, and packages by their `__init__.py`; gives the module of each, or why it cannot be imported.

    Its cause is what the file raised.
    """
    with _LOADING:
        spaces = {folder: _space(folder, files) for folder in {one.folder for one in files}}
        return [_module_or_fault(one, spaces[one.folder]) for one in files]


def _module_or_fault(file: NodeFile, space: _Space) -> ModuleType | CatalogError:
    try:
        return _module(file, space)
    except CatalogError as fault:
        return fault


def joined_with_files(catalog: Catalog, paths: Iterable[Path], read: dict[Path, FileStamp | None]) -> Catalog:
    """A catalogue and the node types of files.

    Args:
        read: gets every file that was read, the modules that they import included, also where one cannot be loaded.

    Raises:
        CatalogError: where one cannot be loaded, or a type has the name of another.
    """
    files = []
    for path in paths:
        files.append(NodeFile.read(path))
        read |= files[-1].files
    try:
        for file, types in load(files):
            catalog = catalog.joined(types, str(file.path))
    finally:
        for file in files:
            read |= file.files
    return catalog


def _space(folder: Path, files: Iterable[NodeFile]) -> _Space:
    own = {one.module: one.source for one in files if one.folder == folder}
    imports = {name: source for one in files if one.folder == folder for name, source in one.imports.items()}
    # Named by content: functions of an earlier state go on with the modules of that state. Engines that read one state
    # have the same classes; a state that is there again is run again, since value classes are those that ran last.
    named = [(name, digest_bytes(one.content)) for name, one in sorted({**own, **imports}.items())]
    absent = frozenset[str]().union(*(one.absent for one in files if one.folder == folder))
    name = f"{PREFIX}{digest([os.fsencode(folder), named, sorted(absent)])[:16]}"
    if _LATEST.get(folder) != name or _SPACES[name].is_outdated():
        _forget(name)
        _SPACES[name] = _Space(name, folder, imports, own, absent)
        _LATEST[folder] = name
    return _SPACES[name]


def _forget(space: str) -> None:
    """Have the modules of a space, and those that node files found by `sys.path`, read again."""
    for known in [known for known in sys.modules if known == space or known.startswith(f"{space}.")]:
        del sys.modules[known]
    names = {path.name for path in _READ}
    for known, module in [*sys.modules.items()]:
        file = getattr(module, "__file__", None)
        own = known == "__main__" or known.startswith(PREFIX)
        # Links are followed for files of a name in question alone: a process with torch has thousands of modules.
        alike = isinstance(file, str) and (Path(file).name in names or Path(file).is_symlink())
        if alike and not own and Path(os.path.realpath(str(file))) in _READ:
            del sys.modules[known]


def _module(file: NodeFile, space: _Space) -> ModuleType:
    """The module of a file, which is run.

    Raises:
        CatalogError: where it cannot be imported.
    """
    try:
        return _run(file, space)
    except BaseException as fault:
        _LATEST.pop(file.folder, None)  # all is read again next time
        if is_interrupt(fault):
            raise
        raise CatalogError(f"{file.option} {file.path}: {described(fault)}") from fault
    finally:
        file.reads = dict(space.reads)


def _types(file: NodeFile, module: ModuleType) -> list[NodeType]:
    own = [type for type in types_of(module) if type.function.__module__ == module.__name__]
    if not own:
        others = listed(key for key in vars(module) if not key.startswith("_"))
        raise CatalogError(f"--nodes {file.path}: no function with @node in it (found: {others or 'nothing'})")
    return [replace(type, origin=file.origin) for type in own]


def _run(file: NodeFile, space: _Space) -> ModuleType:
    """The module of a file: run, or as it is where it was run before."""
    name = f"{space.name}.{file.module}" if file.module else space.name
    for left in reversed(range(RUNS)):
        with reads_noted() as reads:
            try:
                module = importlib.import_module(name)
            finally:
                stamps = reads.of(file.folder)
                for known in [one.path for one in space.sources.values()]:
                    stamps.pop(known, None)
                stamps |= _imported_later(space, stamps, reads.added)
                space.reads |= _digested(stamps)
                _READ.update(path for path in stamps if path.suffix == ".py")
        # Bytecode that is not that of its source was run, or a file was written after it was opened.
        stale = forget_stale_bytecode(path for path in stamps if path.suffix == ".py")
        if not (
            stale or any(space.reads[path].stamp != stamp for path, stamp in stamps.items() if path in space.reads)
        ):
            break
        if left:
            _forget(space.name)
            if file.module:
                sys.modules[space.name] = space.package
    return module


def _digested(stamps: Iterable[Path]) -> dict[Path, FileRead]:
    found = {}
    for path in stamps:
        with suppress(OSError):
            stamp = FileStamp.of(path.stat())
            found[path] = FileRead(digest_file(path), stamp)
    return found


def _imported_later(space: _Space, read: Iterable[Path], folders: Iterable[Path]) -> dict[Path, FileStamp]:
    """The modules of folders on `sys.path` that functions of node files, or of modules that were read, may import."""
    found: dict[Path, FileStamp] = {}
    waiting = deque([*space.sources.items()])
    waiting += [(path.stem, Source.read(path)) for path in read if path.suffix == ".py"]
    while waiting:
        package, source = waiting.popleft()
        for name in imported_names(source, package if source.is_package else package.rpartition(".")[0]):
            if name.partition(".")[0] in space.top:
                continue
            chains = ([*module_chain(folder, name)] for folder in folders)
            for dotted, module in next(filter(None, chains), ()):
                if module.stamp and module.path not in found:
                    found[module.path] = module.stamp
                    waiting.append((dotted, module))
    return {path: stamp for path, stamp in found.items() if path not in {one.path for one in space.sources.values()}}
