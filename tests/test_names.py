"""One name, one thing: no two modules and no two public classes share a name, and each room has its tests."""

from __future__ import annotations

import ast
from collections import Counter

from tests.imports import ROOT, modules


def test_no_two_modules_share_a_name() -> None:
    names = Counter(module.rpartition(".")[2] for module in modules() if not is_package(module))
    assert not {name for name, count in names.items() if count > 1}


def test_no_two_public_classes_share_a_name() -> None:
    statements = (statement for tree in modules().values() for statement in tree.body)
    names = Counter(one.name for one in statements if isinstance(one, ast.ClassDef) and one.name[0] != "_")
    assert not {name for name, count in names.items() if count > 1}


def test_every_module_has_a_test_of_its_name_or_a_test_of_its_room() -> None:
    named = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    rooms = {path.parent.relative_to(ROOT / "tests").parts for path in (ROOT / "tests").rglob("test_*.py")}
    without = [
        module
        for module in modules()
        if not is_package(module)
        and f"test_{module.rpartition('.')[2]}" not in named
        and not any(room == tuple(module.split("."))[: len(room)] for room in rooms if len(room) > 1)
    ]
    assert not without


def is_package(module: str) -> bool:
    return any(other.startswith(f"{module}.") for other in modules())
