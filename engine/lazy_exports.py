"""Packages that import what they export when it is asked for (PEP 562), by the imports that type checkers read.

    if TYPE_CHECKING:
        from my_library.palettes import MapToPalette, Palette
    else:
        __getattr__, __dir__ = lazy_exports(__name__)

    __all__ = ["MapToPalette", "Palette"]

So one list says where each name comes from, for type checkers, completion and Python alike.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import resolve_name

_PACKAGES: dict[str, None] = {}


def lazy_exports(package: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package that has its imports under `if TYPE_CHECKING:`.

    Args:
        package: its name; its source must be there.
    """
    _PACKAGES[package] = None
    homes = cache(lambda: dict(_imports(package)))

    def get(name: str) -> object:
        if name not in homes():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = homes()[name]
        item = getattr(import_module(module), original)
        setattr(sys.modules[package], name, item)
        return item

    return get, lambda: sorted({*vars(sys.modules[package]), *homes()})


def _imports(package: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Each name that a package imports for type checkers, with its module and its name there."""
    source = sys.modules[package].__spec__.loader.get_source(package)  # type: ignore[union-attr]
    for block in ast.parse(source).body:
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            for statement in block.body:
                if isinstance(statement, ast.ImportFrom):
                    module = resolve_name("." * statement.level + (statement.module or ""), package)
                    yield from ((alias.asname or alias.name, (module, alias.name)) for alias in statement.names)


def import_exports() -> None:
    """Import everything that such packages export, for what can be found in no other way."""
    for module in [sys.modules[package] for package in _PACKAGES if package in sys.modules]:
        for name in dir(module):
            getattr(module, name)
