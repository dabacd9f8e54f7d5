"""The type stub of a node library: its node types as functions that also take `id`, as type checkers see them.

A checker sees a node type as the function that it is made of, which has no `id`, and Python's type system cannot add a
keyword to the parameters of a function. `LIBRARY/__init__.pyi` says all of them, with `id`, so `KSampler(guide, latent,
id="sampler")` is checked and completed in full.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import resolve_name
from typing import Any

from weft.engine.errors import CatalogError
from weft.engine.spec.node import NodeType

Origin = tuple[str, str]
"""The module that a name is imported from, and its name there; empty for the module itself."""

HEAD = '"""Node types with `id`, for type checkers and completion. Written by `weft schema --stub {package}`."""'


def type_stub(package: str) -> str:
    """The text of a library's `__init__.pyi`, not yet laid out: a formatter of Python breaks its lines.

    Args:
        package: of the library, such as `weft.nodes`; `__all__` says what it exports.

    Raises:
        CatalogError: where it cannot be imported, or does not say what it exports.
    """
    try:
        module = import_module(package)
        exported = module.__all__
    except (ImportError, AttributeError) as fault:
        raise CatalogError(f"{package} is no node library that says what it exports: {fault}") from fault
    items = {name: getattr(module, name) for name in exported}
    names, homes = _Names(), _imported(package)
    for name, one in items.items():
        if not isinstance(one, NodeType):
            names.of(homes.get(name, (package, name)), name)
    lines = [_definition(name, one, names) for name, one in items.items() if isinstance(one, NodeType)]
    listed = f"__all__ = [{', '.join(map(repr, items))}]"
    return "\n".join([HEAD.format(package=package), "", *names.imports(), "", listed, "", *lines, ""])


@dataclass
class _Names:
    """The names that a stub imports, and what they are."""

    _origins: dict[str, Origin] = field(default_factory=dict)

    def of(self, origin: Origin, wanted: str) -> str:
        """The name of something in the stub: the wanted one, or, where that is taken, with a number."""
        name, number = wanted, 1
        while self._origins.setdefault(name, origin) != origin:
            number += 1
            name = f"{wanted}{number}"
        return name

    def imports(self) -> Iterator[str]:
        """The lines that import them."""
        together: dict[str, list[str]] = {}
        for name, (module, original) in sorted(self._origins.items()):
            renamed = "" if name == (original or module) else f" as {name}"
            if original:
                together.setdefault(module, []).append(f"{original}{renamed}")
            else:
                yield f"import {module}{renamed}"
        yield from (f"from {module} import {', '.join(names)}" for module, names in sorted(together.items()))


def _definition(name: str, type: NodeType, names: _Names) -> str:
    """The line that defines a node type."""
    signature = inspect.signature(type.function)
    parameters = [one for name, one in signature.parameters.items() if name != type.context_name]
    before = [_parameter(one, type, names) for one in parameters if one.kind is not one.KEYWORD_ONLY]
    after = [_parameter(one, type, names) for one in parameters if one.kind is one.KEYWORD_ONLY]
    everything = ", ".join([*before, "*", *after, "id: str | None = ..."])
    return f"def {name}({everything}) -> {_written(signature.return_annotation, type, names)}: ..."


def _parameter(one: inspect.Parameter, type: NodeType, names: _Names) -> str:
    default = "" if one.default is one.empty else " = ..."
    return f"{one.name}: {_written(one.annotation, type, names)}{default}"


def _written(annotation: object, type: NodeType, names: _Names) -> str:
    """An annotation of a node type's function in the names of the stub; without ranges, which checkers leave out.

    Raises:
        CatalogError: where it is no text.
    """
    home = type.function.__module__
    if not isinstance(annotation, str):
        raise CatalogError(f"{type.name}: begin {home} with `from __future__ import annotations`")
    tree = _WithoutRanges().visit(ast.parse(annotation, mode="eval"))
    known = _imported(home)
    for one in ast.walk(tree):
        if isinstance(one, ast.Name) and (one.id in known or not hasattr(builtins, one.id)):
            one.id = names.of(known.get(one.id, (home, one.id)), one.id)
    return ast.unparse(tree)


class _WithoutRanges(ast.NodeTransformer):
    """Makes `X` of `Annotated[X, ...]`."""

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        if isinstance(node.value, ast.Name) and node.value.id == "Annotated" and isinstance(node.slice, ast.Tuple):
            return self.visit(node.slice.elts[0])
        return self.generic_visit(node)


@cache
def _imported(module: str) -> Mapping[str, Origin]:
    """What each name that a module imports, for type checkers too, is imported from."""
    source = inspect.getsource(sys.modules[module])
    found: dict[str, Origin] = {}
    for statement in ast.walk(ast.parse(source)):
        if isinstance(statement, ast.ImportFrom):
            home = resolve_name("." * statement.level + (statement.module or ""), _package(module))
            found |= {one.asname or one.name: (home, one.name) for one in statement.names}
        elif isinstance(statement, ast.Import):
            found |= {one.asname or one.name: (one.name, "") for one in statement.names}
    return found


def _package(module: str) -> str:
    """The package that relative imports of a module start from."""
    return module if hasattr(sys.modules[module], "__path__") else module.rpartition(".")[0]
