"""The type stub of the node library is what its node types say now, and one of another library can be written."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from weft.engine import CatalogError
from weft.engine.show.type_stub import type_stub

STUB = Path(__file__).parents[3] / "nodes" / "__init__.pyi"
LIBRARY = """
from __future__ import annotations

import typing
from typing import Annotated

from weft.engine import INJECTED, Context, Range, node

__all__ = ["Level", "Levels", "Raise"]
Level = float
Levels = list[Level]


@node()
def Raise(
    levels: Levels, by: Annotated[Level, Range(0, 1)] = 0.5, *, twice: typing.Any, context: Context = INJECTED
) -> Levels:
    return [level + by for level in levels]
"""


def content(stub: str) -> tuple[set[tuple[str, str, str]], list[str]]:
    """The imports of a stub, in any order, and the rest of it."""
    statements = ast.parse(stub).body
    imports = [one for one in statements if isinstance(one, ast.ImportFrom)]
    names = {(one.module or "", name.name, name.asname or "") for one in imports for name in one.names}
    return names, [ast.dump(one) for one in statements if one not in imports]


def test_the_stub_of_the_node_library_is_up_to_date() -> None:
    """`weft schema --stub weft.nodes` prints it: see .github/CONTRIBUTING.md."""
    assert content(type_stub("weft.nodes")) == content(STUB.read_text())


def test_a_stub_has_all_inputs_and_an_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stubbed_library.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(str(tmp_path))
    lines = type_stub("stubbed_library").splitlines()
    sys.modules.pop("stubbed_library")
    inputs = "levels: Levels, by: Level = ..., *, twice: typing.Any, id: str | None = ..."
    assert f"def Raise({inputs}) -> Levels: ..." in lines
    assert {"import typing", "from stubbed_library import Level, Levels"} <= {*lines}


@pytest.mark.parametrize("name", ["no_such_library", "math"])
def test_what_is_no_library_is_refused(name: str) -> None:
    with pytest.raises(CatalogError):
        type_stub(name)
