"""The catalogue: types of libraries that are imported as a whole, and of those that are imported in parts."""

from __future__ import annotations

from types import ModuleType
from typing import Any, cast

import pytest

from weft.engine import CatalogError, NodeType, node
from weft.engine.spec.catalog import Catalog


@node
def Double(number: int) -> int:
    """Twice a number."""
    return 2 * number


@node
def Halve(number: int) -> int:
    """Half of a number."""
    return number // 2


def another_double() -> NodeType:
    @node
    def Double(number: int) -> int:
        """A number with itself."""
        return number + number

    return cast(NodeType, Double)


class Library(ModuleType):
    """A library in parts; `asked` has what was imported of it."""

    def __init__(self, **parts: Any) -> None:
        super().__init__("library")
        asked: list[str] = []

        def get(name: str) -> Any:
            if name == "asked":
                return asked
            asked.append(name)
            if isinstance(parts[name], Exception):
                raise parts[name]
            return parts[name]

        self.__dict__.update(__getattr__=get, __all__=[*parts])


def whole(**parts: Any) -> ModuleType:
    module = ModuleType("whole")
    module.__dict__.update(parts)
    return module


def test_a_library_in_parts_is_asked_for_what_a_graph_names() -> None:
    library = Library(Double=Double, Halve=Halve, Scale=2)
    catalog = Catalog().with_library(library, "library")
    assert library.asked == []
    assert catalog["Double"] is cast(Any, Double) and library.asked == ["Double"]
    assert "Unknown" not in catalog and "asked" not in catalog and "Scale" not in catalog
    assert library.asked == ["Double", "Scale"]


def test_the_list_of_types_has_those_of_all_parts() -> None:
    catalog = Catalog({"Halve": cast(Any, Halve)}).with_library(Library(Double=Double, Scale=2), "library")
    assert sorted(catalog) == ["Double", "Halve"] and len(catalog) == 2
    assert "Double" in catalog.suggest("Dobule")


@pytest.mark.parametrize("first", [whole, Library])
@pytest.mark.parametrize("second", [whole, Library])
def test_two_types_of_one_name_are_refused(first: Any, second: Any) -> None:
    catalog = Catalog().with_library(first(Double=Double), "first")
    with pytest.raises(CatalogError):
        catalog.with_library(second(Double=another_double()), "second")
    assert catalog.with_library(second(Double=Double), "second")["Double"] is cast(Any, Double)


def test_a_type_of_a_file_with_the_name_of_a_part_is_refused() -> None:
    catalog = Catalog().with_library(Library(Double=Double), "library")
    with pytest.raises(CatalogError):
        catalog.joined([another_double()], "file.py")


def test_a_part_that_cannot_be_imported_names_its_library() -> None:
    catalog = Catalog().with_library(Library(Double=ImportError("no such module"), Halve=Halve), "library")
    assert catalog["Halve"] is cast(Any, Halve)
    with pytest.raises(CatalogError, match="library"):
        catalog["Double"]
