"""The JSON Schema of graph files takes what the checker takes and underlines what it refuses; schema/ is up to date."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from weft.engine import NodeType, Range, node, value
from weft.engine.errors import LiteralError
from weft.engine.show.json_schema import graph_schema, nodes_document, record, written
from weft.engine.spec.catalog import installed

ROOT = Path(__file__).parents[3]


@value
@dataclass(frozen=True)
class Paint:
    """A value that only nodes make."""

    hue: float


class Two(NamedTuple):
    """Two outputs."""

    paint: Paint
    number: int


@node(category="colour", version=3, lane="io")
def Mix(
    paints: list[Paint],
    water: Annotated[float, Range(0, 10)] = 1.0,
    times: Annotated[int | list[int], Range(1, 9)] = 1,
    mode: Literal["wet", "dry"] = "wet",
    under: Paint | None = None,
    extra: Any = None,
) -> Two:
    """Mix paints.

    First they are poured together,
    then they are stirred.

    Args:
        water: in drops.
    """
    return Two(paints[0], 1)


MIX = cast(NodeType, Mix)
SCHEMA = graph_schema([MIX])
LINK = {"link": "other"}


def faults(document: object, schema: dict[str, Any] = SCHEMA) -> list[str]:
    """Where a document is underlined."""
    found = Draft202012Validator(schema).iter_errors(document)
    return sorted({"/".join(map(str, error.absolute_path)) for error in found})


def graph(inputs: object, **parts: Any) -> dict[str, Any]:
    """A graph file with one node."""
    return {"weft": 1, "nodes": {"mix": {"type": "Mix", "inputs": inputs}}, **parts}


def test_the_folder_is_what_weft_schema_writes() -> None:
    types = installed().values()
    assert (ROOT / "schema/graph.schema.json").read_bytes() == written(graph_schema(types))
    assert (ROOT / "schema/nodes.json").read_bytes() == written(nodes_document(types))


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", sorted((ROOT / "graphs").glob("*.json")), ids=lambda path: path.stem)
def test_every_example_graph_is_valid(path: Path) -> None:
    schema = json.loads((ROOT / "schema/graph.schema.json").read_bytes())
    assert faults(json.loads(path.read_bytes()), schema) == []


@pytest.mark.parametrize(
    "inputs",
    [
        {"paints": LINK},
        {"paints": [LINK, {"link": "other.paint"}], "water": 3, "under": LINK},
        {"paints": [], "under": None, "times": [1, LINK], "mode": LINK, "extra": {"value": {"link": 3}}},
        {"paints": LINK, "extra": [1, {"value": {}}], "mode": "dry"},
    ],
)
def test_literals_links_and_lists_of_them_are_valid(inputs: object) -> None:
    assert faults(graph(inputs)) == []


@pytest.mark.parametrize(
    ("inputs", "place"),
    [
        ({}, "nodes/mix/inputs"),
        ({"paints": LINK, "watr": 1}, "nodes/mix/inputs"),
        ({"paints": LINK, "water": 11}, "nodes/mix/inputs/water"),
        ({"paints": LINK, "water": "3"}, "nodes/mix/inputs/water"),
        ({"paints": LINK, "times": 1.5}, "nodes/mix/inputs/times"),
        ({"paints": LINK, "times": [0]}, "nodes/mix/inputs/times"),
        ({"paints": LINK, "mode": "damp"}, "nodes/mix/inputs/mode"),
        ({"paints": LINK, "under": 5}, "nodes/mix/inputs/under"),
        ({"paints": LINK, "mode": {"link": "a b"}}, "nodes/mix/inputs/mode"),
        ({"paints": LINK, "extra": {"k": 1}}, "nodes/mix/inputs/extra"),
        ({"paints": [3]}, "nodes/mix/inputs/paints"),
    ],
)
def test_a_bad_input_is_underlined(inputs: object, place: str) -> None:
    assert faults(graph(inputs)) == [place]


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"nodes": {}}, ""),
        ({"weft": 2, "nodes": {}}, "weft"),
        ({"weft": 1, "nodes": {}, "titel": ""}, ""),
        ({"weft": 1, "nodes": {"a b": {"type": "graph:x"}}}, "nodes"),
        ({"weft": 1, "nodes": {"a": {"type": "Mxi"}}}, "nodes/a/type"),
        ({"weft": 1, "nodes": {"a": {}}}, "nodes/a"),
        ({"weft": 1, "nodes": {}, "outputs": {"o": {"link": "a.b.c"}}}, "outputs/o/link"),
        ({"weft": 1, "nodes": {}, "parameters": {"p": {"sets": ["a"]}}}, "parameters/p/sets/0"),
        ({"weft": 1, "nodes": {}, "graphs": {"g": {"nodes": {"a": {"type": "Mix"}}}}}, "graphs/g/nodes/a"),
    ],
)
def test_a_bad_frame_is_underlined(document: object, place: str) -> None:
    assert faults(document) == [place]


def test_parameters_may_give_required_inputs() -> None:
    assert faults(graph({}, parameters={"paints": {"sets": ["mix.paints"]}})) == []


def test_subgraphs_take_any_input() -> None:
    inputs = {"model": LINK, "scale": 3, "list": [LINK, 1], "object": {"value": {"k": 1}}}
    nodes = {"a": {"type": "graph:paint", "inputs": inputs}, "b": {"type": "file:parts/paint.json"}}
    assert faults({"weft": 1, "nodes": nodes}) == []
    assert faults({"weft": 1, "nodes": {"a": {"type": "graph:paint", "inputs": {"object": {"k": 1}}}}}) != []


def test_an_editor_shows_help_and_defaults() -> None:
    inputs = SCHEMA["$defs"]["Mix.inputs"]["properties"]
    assert inputs["water"]["description"] == "in drops.\n\nfloat" and inputs["water"]["default"] == 1.0
    kind = SCHEMA["$defs"]["NodeModel"]["properties"]["type"]["anyOf"][0]
    assert kind["description"] == "Mix paints.\n\nFirst they are poured together, then they are stirred."


def test_a_record_has_everything_about_a_type() -> None:
    found = record(MIX)
    assert found["inputs"]["times"] == {
        "type": "int or list of int",
        "help": "",
        "default": 1,
        "schema": {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 9},
                {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 9}},
            ]
        },
    }
    assert found["inputs"]["paints"] == {"type": "list of Paint", "help": ""}
    assert (found["outputs"], found["version"], found["sink"]) == ({"paint": "Paint", "number": "int"}, 3, False)


SCALARS = st.none() | st.booleans() | st.integers(-2, 12) | st.floats(-2, 12) | st.sampled_from(["", "wet", "3"])


@given(st.sampled_from(["water", "times", "mode", "under"]), SCALARS | st.lists(SCALARS, max_size=2))
def test_the_schema_takes_what_the_checker_takes(name: str, literal: Any) -> None:
    items = literal if isinstance(literal, list) else [literal]
    assume(not any(isinstance(item, float) and item.is_integer() for item in items))  # 3.0 is an integer in JSON Schema
    try:
        MIX.inputs[name].type.literal(literal)
        taken = True
    except LiteralError:
        taken = False
    assert (faults(graph({"paints": LINK, name: literal})) == []) is taken


def test_the_order_of_the_catalogue_changes_no_byte() -> None:
    types: Sequence[NodeType] = list(installed().values())
    assert written(graph_schema(types)) == written(graph_schema(reversed(types)))
    assert orjson.loads(written(nodes_document(types)))["nodes"].keys() == {type.name for type in types}
