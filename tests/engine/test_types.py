"""Socket types: strict literals, links that fit, and values at run time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from tests.refusals import names
from weft.engine import CatalogError, Range, value
from weft.engine.errors import LiteralError
from weft.engine.types import VALUES, read


@value
@dataclass(frozen=True)
class Cloth:
    """A value class."""

    width: int


@pytest.mark.parametrize(
    ("annotation", "literal", "becomes"),
    [
        (int, 5, 5),
        (float, 5, 5.0),
        (float, 5.5, 5.5),
        (bool, True, True),
        (str, "5", "5"),
        (Literal["a", "b"], "b", "b"),
        (list[float], [1, 2.5], [1.0, 2.5]),
        (tuple[int, ...], (1, 2), [1, 2]),
        (int | str, "x", "x"),
        (int | list[int], [1], [1]),
        (int | float, 5, 5),
        (int | None, None, None),
        (Any, "x", "x"),
        (Annotated[int, Range(0, 9)], 9, 9),
        (Annotated[float, Range(0, 1, step=0.25)], 0.75, 0.75),
    ],
)
def test_literals_become_values_of_the_declared_type(annotation: Any, literal: object, becomes: object) -> None:
    found = read(annotation).literal(literal)
    assert found == becomes and type(found) is type(becomes)


@pytest.mark.parametrize(
    ("annotation", "literal"),
    [
        (int, "20"),
        (int, 3.9),
        (int, True),
        (int, None),
        (float, "1"),
        (float, False),
        (float, float("nan")),
        (float, float("inf")),
        (float, 10**400),
        (bool, 1),
        (str, 5),
        (Literal["a", "b"], "c"),
        (list[int], 5),
        (list[int], [1, 2.5]),
        (int | None, "x"),
        (Cloth, 5),
        (Annotated[int, Range(0, 9)], 10),
        (Annotated[int, Range(0, 4096, step=64)], 100),
        (Annotated[list[int], Range(0, 9)], [10]),
    ],
)
def test_other_literals_are_refused(annotation: Any, literal: object) -> None:
    with pytest.raises(LiteralError):
        read(annotation).literal(literal)


@pytest.mark.parametrize(
    ("wanted", "given", "fits"),
    [
        (float, int, True),
        (int, float, False),
        (str, int, False),
        (int, bool, False),
        (str, Literal["a"], True),
        (Literal["a", "b"], Literal["a"], True),
        (Literal["a"], Literal["a", "b"], False),
        (Cloth, Cloth, True),
        (Cloth | None, Cloth, True),
        (Cloth, Cloth | None, False),
        (list[float], list[int], True),
        (list[int], int, False),
        (Any, Cloth, True),
        (int | list[int], list[int], True),
    ],
)
def test_outputs_fit_inputs_of_their_type(wanted: Any, given: Any, fits: bool) -> None:
    assert read(wanted).accepts(read(given)) is fits


def test_a_literal_that_is_refused_has_a_hint() -> None:
    with pytest.raises(LiteralError) as caught:
        read(int).literal("20")
    assert caught.value.code == "wrong-type" and caught.value.hint and names(caught.value, "int", '"20"')


def test_bounds_and_choices_are_in_the_schema() -> None:
    assert read(Annotated[int, Range(0, 64, step=8)]).schema() == {
        "type": "integer",
        "minimum": 0,
        "maximum": 64,
        "multipleOf": 8,
    }
    assert read(Literal["a", "b"]).schema() == {"enum": ["a", "b"]}


@pytest.mark.parametrize("strange", [set, dict[str, int], complex, Literal[1, 2], object()])
def test_annotations_that_are_no_socket_types(strange: Any) -> None:
    with pytest.raises(CatalogError, match=re.escape(strange.__name__ if isinstance(strange, type) else repr(strange))):
        read(strange)


def test_a_value_class_is_a_frozen_dataclass_with_a_name_of_its_own() -> None:
    with pytest.raises(CatalogError, match="Loose"):
        value(type("Loose", (), {}))
    with pytest.raises(CatalogError, match="Cloth"):
        value(dataclass(frozen=True)(type("Cloth", (), {"__module__": "elsewhere"})))
    assert VALUES["Cloth"] is Cloth
