"""Packages that import what they export when it is asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = """
from typing import TYPE_CHECKING

from weft.engine import lazy_exports

if TYPE_CHECKING:
    from lazy_package.inner import Thing as Renamed
    from .other import Other
else:
    __getattr__, __dir__ = lazy_exports(__name__)

__all__ = ["Other", "Renamed"]
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    folder = tmp_path / "lazy_package"
    folder.mkdir()
    (folder / "__init__.py").write_text(PACKAGE)
    (folder / "inner.py").write_text("Thing = 'a thing'")
    (folder / "other.py").write_text("Other = 'another'")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("lazy_package")
    for name in [name for name in sys.modules if name.partition(".")[0] == "lazy_package"]:
        del sys.modules[name]


def imported() -> set[str]:
    return {name for name in sys.modules if name.startswith("lazy_package.")}


def test_a_module_is_imported_when_its_name_is_asked_for(package: ModuleType) -> None:
    assert not imported()
    assert package.Renamed == "a thing" and imported() == {"lazy_package.inner"}
    assert package.Other == "another" and vars(package)["Other"] is package.Other


def test_names_are_listed_without_an_import(package: ModuleType) -> None:
    assert {"Other", "Renamed", "__all__"} <= {*dir(package)} and not imported()


def test_everything_is_imported_by_a_star(package: ModuleType) -> None:
    names: dict[str, object] = {}
    exec("from lazy_package import *", names)
    assert names["Renamed"] == "a thing" and names["Other"] == "another"


def test_another_name_is_no_attribute(package: ModuleType) -> None:
    with pytest.raises(AttributeError):
        _ = package.Thing
