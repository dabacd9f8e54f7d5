"""The keys of graph files: what is wrong with one, and that the schema for editors says the same."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from weft.engine.graph.document_keys import KeyFault, key_faults
from weft.engine.show.json_schema import graph_schema

PARAMETER = {
    "sets": ["a.x"],
    "type": "int",
    "default": [1],
    "min": 0,
    "max": 2.5,
    "choices": [1, 2],
    "description": "d",
}
PARTS: dict[str, Any] = {
    "title": "t",
    "keywords": ["k"],
    "parameters": {"p": PARAMETER},
    "nodes": {"a": {"type": "graph:g", "inputs": {}, "notes": "n"}},
    "outputs": {"o": {"link": "a.b"}},
    "layout": {"a": [0, 1]},
}
RIGHT: dict[str, Any] = {"$schema": "s", "weft": 1, **PARTS, "graphs": {"g": PARTS}}

SCHEMA = Draft202012Validator(graph_schema(()))


def places(item: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where something may be put in place of something else."""
    inner = item.items() if isinstance(item, dict) else ()
    return [path, *(place for name, one in inner for place in places(one, (*path, name)))]


def changed(place: tuple[str, ...], put: Any) -> Any:
    """The right document with something else at a place."""
    tree = orjson.loads(orjson.dumps(RIGHT))
    inner = tree
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = put
    return tree


def test_a_right_document_has_no_fault() -> None:
    assert [*key_faults(RIGHT)] == [] and SCHEMA.is_valid(RIGHT)


ATOMS = (None, True, False, 2, 9, 0.5)
JUNK: st.SearchStrategy[Any] = st.sampled_from([*ATOMS, [], {}, [True]])


@settings(max_examples=100)
@given(st.sampled_from([place for place in places(RIGHT) if place and place[-1] not in ("default", "weft")]), JUNK)
def test_the_schema_refuses_what_reading_refuses(place: tuple[str, ...], put: Any) -> None:
    tree = changed(place, put)
    assert ([*key_faults(tree)] == []) is SCHEMA.is_valid(tree)


CLOSED = ["", "graphs g", "nodes a", "parameters p", "outputs o", "graphs g nodes a", "graphs g outputs o"]


@pytest.mark.parametrize("place", CLOSED)
def test_an_unknown_key_is_named_by_its_place(place: str) -> None:
    path = (*place.split(), "tpye")
    assert [(one.code, one.place) for one in key_faults(changed(path, 1))] == [("unknown-key", path)]


def test_a_missing_key_is_named_by_its_place() -> None:
    assert next(key_faults({"weft": 1, "nodes": {"a": {}}}))[:2] == ("missing-key", ("nodes", "a", "type"))
    assert {one.place for one in key_faults({})} == {("nodes",), ("weft",)}


def test_a_list_has_one_fault_whatever_is_in_it() -> None:
    assert [*key_faults({**RIGHT, "keywords": ["a", 1, 2]})] == [
        KeyFault("malformed-value", ("keywords",), (), 1, "a string")
    ]
