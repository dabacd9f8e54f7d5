"""The node classes in a folder of packages for ComfyUI: `read_classes`, which an entry point of `weft.classes` names.

A folder is `custom_nodes`, with packages and single files in it, or one package. Each runs by itself, under names of
its own, and finds none of ComfyUI's modules. What cannot be imported leaves its classes refused, with the reason.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

from weft.engine.errors import CatalogError, described
from weft.engine.file_stamp import FileStamp
from weft.engine.spec.node import NodeType
from weft.engine.spec.node_file_loading import run_files
from weft.engine.spec.node_files import NodeFile, Source
from weft.nodes.interop.comfy_classes import NotPlainError, PlainClass, RefusedClass

OPTION = "--comfy-nodes"

COMFYUI = frozenset(
    {
        "comfy",
        "comfy_api",
        "comfy_api_nodes",
        "comfy_config",
        "comfy_execution",
        "comfy_extras",
        "folder_paths",
        "nodes",
        "node_helpers",
        "server",
        "execution",
        "latent_preview",
        "cuda_malloc",
    }
)
"""The modules that ComfyUI itself has, at the top."""

MAPPINGS, TITLES = "NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"


def read_classes(folders: Sequence[Path], read: dict[Path, FileStamp | None]) -> Iterator[NodeType]:
    """The node types of the classes in folders; of two classes of one name the first counts.

    Raises:
        CatalogError: where a folder has none.
    """
    known: set[str] = set()
    for folder in folders:
        found = 0
        files = [*_files(folder)]
        for file in files:
            read |= file.files
        # Packages greet as they are imported, and stdout is for what a command gives.
        with redirect_stdout(sys.stderr):
            modules = run_files(files)
        for file, module in zip(files, modules, strict=True):
            read |= file.files
            for type in _types(file, module):
                found += 1
                if type.name not in known:
                    known.add(type.name)
                    yield type
        if not found:
            raise CatalogError(f"{OPTION} {folder}: no package in it has {MAPPINGS}{_why(modules)}")


def _why(modules: Sequence[ModuleType | CatalogError]) -> str:
    fault = next((one for one in modules if isinstance(one, CatalogError)), None)
    return f" ({fault})" if fault else ""


def _files(folder: Path) -> Iterator[NodeFile]:
    """The packages and files of a folder.

    Raises:
        CatalogError: where it is none.
    """
    if not folder.is_dir():
        raise CatalogError(f"{OPTION} {folder}: there is no such folder")
    if (folder / "__init__.py").is_file():
        yield NodeFile.read_package(folder, OPTION, COMFYUI)
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__")) or path.name.endswith(".disabled"):
            continue
        if (path / "__init__.py").is_file():
            yield NodeFile.read_package(path, OPTION, COMFYUI)
        elif path.suffix == ".py":
            yield NodeFile.read(path, OPTION, COMFYUI)


def _types(file: NodeFile, module: ModuleType | CatalogError) -> Iterator[NodeType]:
    """The node types of a package."""
    if isinstance(module, CatalogError):
        reason = _reason(file, module)
        for name in sorted(_names(file)):
            yield RefusedClass(name, reason).node_type(file.origin)
        return
    mappings, titles = (getattr(module, name, None) for name in (MAPPINGS, TITLES))
    for name, cls in mappings.items() if isinstance(mappings, Mapping) else ():
        if isinstance(name, str) and isinstance(cls, type):
            title = titles.get(name, name) if isinstance(titles, Mapping) else name
            yield _type(file, name, cls, str(title))


def _type(file: NodeFile, name: str, cls: type, title: str) -> NodeType:
    folder = file.folder
    if place := _import_of_comfyui(file, cls):
        reason = f"the class {name} imports {place}"
        return RefusedClass(name, reason).node_type(file.origin)
    try:
        return PlainClass.of(cls, name, title, folder).node_type(file.origin)
    except NotPlainError as fault:
        return RefusedClass(name, f"the class {name} of {folder.name}: {fault}").node_type(file.origin)


def _reason(file: NodeFile, fault: CatalogError) -> str:
    """Why a package cannot be imported."""
    cause, name = fault.__cause__, file.folder.name if file.is_package else file.path.name
    missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
    if missing and missing.partition(".")[0] in COMFYUI:
        return f"{name} imports `{missing}` of ComfyUI's own, which is not part of Weft"
    if missing:
        return f"{name} imports `{missing}`, which is not installed"
    return f"{name} cannot be imported: {described(cause) if cause else fault}"


def _sources(file: NodeFile) -> Iterator[Source]:
    yield from (file.source, *file.imports.values())


def _parsed(source: Source) -> ast.AST:
    try:
        return ast.parse(source.content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _names(file: NodeFile) -> set[str]:
    """The names of the classes of a package, as far as its sources spell them."""
    found: set[str] = set()
    for source in _sources(file):
        for one in ast.walk(_parsed(source)):
            if isinstance(one, (ast.Assign, ast.AnnAssign)):
                targets = one.targets if isinstance(one, ast.Assign) else [one.target]
                found.update(name for target in targets for name in _keys(target, one.value))
    return found


def _keys(target: ast.expr, value: ast.expr | None) -> Iterator[str]:
    """The names that an assignment to the mappings gives."""
    if isinstance(target, ast.Name) and target.id == MAPPINGS and isinstance(value, ast.Dict):
        yield from (str(key.value) for key in value.keys if isinstance(key, ast.Constant))
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        owner = target.value
        yield from (str(target.slice.value),) if isinstance(owner, ast.Name) and owner.id == MAPPINGS else ()


def _import_of_comfyui(file: NodeFile, cls: type) -> str:
    """What a class imports of ComfyUI's in a method, with the place; empty where it is nothing, or in a `try`."""
    path = getattr(sys.modules.get(cls.__module__), "__file__", None)
    source = next((one for one in _sources(file) if str(one.path) == path), None)
    for found in ast.walk(_parsed(source)) if source else ():
        if isinstance(found, ast.ClassDef) and found.name == cls.__name__:
            for one in _certain(found):
                for name in _imported(one):
                    if name.partition(".")[0] in COMFYUI:
                        line = getattr(one, "lineno", 0)
                        return f"`{name}` of ComfyUI's own ({Path(str(path)).name}, line {line})"
    return ""


def _certain(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one that no `try` is around."""
    for one in ast.iter_child_nodes(node):
        if not isinstance(one, ast.Try):
            yield one
            yield from _certain(one)


def _imported(one: ast.AST) -> Iterator[str]:
    if isinstance(one, ast.Import):
        yield from (alias.name for alias in one.names)
    elif isinstance(one, ast.ImportFrom) and not one.level and one.module:
        yield one.module
