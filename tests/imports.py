"""The imports of every module of `engine/` and `nodes/`, late ones and those for type checkers included."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


@cache
def modules() -> dict[str, ast.Module]:
    """The syntax tree of each module, by its name without `weft.`: `engine.graph.graph`, `nodes.values`."""
    paths = (path for top in ("engine", "nodes") for path in sorted((ROOT / top).rglob("*.py")))
    return {_name(path): ast.parse(path.read_text()) for path in paths}


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def arrows() -> list[tuple[str, str]]:
    """Each import of one module by another: (importing, imported)."""
    found: dict[tuple[str, str], None] = {}
    for module, tree in modules().items():
        for statement in ast.walk(tree):
            for name in _imported(statement):
                if name in modules() and name != module:
                    found[module, name] = None
    return [*found]


def _imported(statement: ast.AST) -> list[str]:
    """The modules that a statement imports; of `from package import module`, the module."""
    if isinstance(statement, ast.Import):
        return [alias.name.removeprefix("weft.") for alias in statement.names]
    if not isinstance(statement, ast.ImportFrom):
        return []
    package = (statement.module or "").removeprefix("weft.")
    return [inner if (inner := f"{package}.{alias.name}") in modules() else package for alias in statement.names]
