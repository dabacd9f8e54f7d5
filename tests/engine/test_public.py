"""The engine's public face is complete, stands alone, and imports nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import weft.engine

FOLDER = Path(weft.engine.__file__).parent


def test_all_is_complete() -> None:
    body = ast.parse((FOLDER / "__init__.py").read_text()).body
    typed = [one for block in body if isinstance(block, ast.If) for one in block.body]  # exported lazily
    imported = {
        alias.asname or alias.name
        for statement in (*body, *typed)
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("weft.")
        for alias in statement.names
        if not (alias.asname or "").startswith("_")
    }
    assert set(weft.engine.__all__) == imported and len(imported) == len(weft.engine.__all__)
    assert all(getattr(weft.engine, name) is not None for name in imported - {"INJECTED"})


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_the_engine_knows_no_node_library(path: Path) -> None:
    modules = set()
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.ImportFrom):
            modules.add(statement.module or "")
        elif isinstance(statement, ast.Import):
            modules |= {alias.name for alias in statement.names}
    assert not [module for module in modules if module.startswith("weft.nodes")]
    rooms = ("cli", "farm", "interop", "leased", "serve")
    outer = tuple(f"weft.engine.{room}." for room in rooms)
    inside = path.relative_to(FOLDER).parts[0] in rooms
    assert inside or not [module for module in modules if f"{module}.".startswith(outer)]


def test_importing_the_engine_is_light() -> None:
    heavy = "{'torch', 'numpy', 'networkx', 'pydantic', 'diffusers', 'transformers', 'rich', 'typer', 'weft.nodes'}"
    code = f"import sys, weft.engine; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
