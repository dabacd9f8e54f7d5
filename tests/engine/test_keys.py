"""Keys: values that differ have encodings that differ; a call is keyed by its literals in their declared types."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from tests.engine.random_values import VALUES, tagged
from weft.engine import Engine, Graph, Link, Node, node
from weft.engine.keys import Digest, digest, encode


@node
def Half(number: float) -> float:
    """Halve."""
    return number / 2


@node
def Total(numbers: list[float], scale: float = 1.0) -> float:
    """Add up, and scale."""
    return sum(numbers) * scale


@node
def Keep(anything: Any) -> Any:
    """Give back what comes."""
    return anything


@given(VALUES, VALUES)
def test_encodings_are_equal_exactly_where_values_and_types_are(one: Any, other: Any) -> None:
    assert (encode(one) == encode(other)) == (tagged(one) == tagged(other))


@pytest.mark.parametrize("one", [1, 1.0, "1", True, b"1", None, [1], {"1": 1}, 0, 0.0, False, ""])
def test_look_alikes_differ(one: Any) -> None:
    others = [1, 1.0, "1", True, b"1", None, [1], {"1": 1}, 0, 0.0, False, ""]
    assert sum(encode(one) == encode(other) for other in others) == 1


def test_neighbours_do_not_run_together() -> None:
    assert encode(["ab"]) != encode(["a", "b"]) and encode([["a"], "b"]) != encode([["a", "b"]])
    assert encode({"a": "b"}) != encode([["a", "b"]])
    assert encode(Digest("ab" * 32)) != encode("ab" * 32)


def test_order_counts_in_lists_and_not_in_mappings() -> None:
    assert encode({"a": 1, "b": 2}) == encode({"b": 2, "a": 1})
    assert encode([1, 2]) != encode([2, 1])


@pytest.mark.parametrize("strange", [object(), {1, 2}, 1j, range(3), bytearray(b"x")])
def test_unknown_types_raise(strange: object) -> None:
    with pytest.raises(TypeError, match=type(strange).__name__):
        digest(["list", strange])


def key_of(engine: Engine, graph: Graph) -> str:
    """The recipe key of a graph's output `out`."""
    planned = engine.plan(graph)
    return next(step.recipe for step in planned.steps if step.call.id == planned.checked.outputs["out"].node)


def single(type: Any, **inputs: Any) -> Graph:
    """A graph of one node."""
    nodes = {"only": Node(type.name, inputs)}
    return Graph(nodes=nodes, outputs={"out": Link("only")}, types={type.name: type})


def test_a_literal_is_keyed_in_its_declared_type(storeless: Engine) -> None:
    assert key_of(storeless, single(Half, number=5)) == key_of(storeless, single(Half, number=5.0))
    assert key_of(storeless, single(Keep, anything=5)) != key_of(storeless, single(Keep, anything=5.0))


def test_a_default_is_keyed_as_if_given(storeless: Engine) -> None:
    given_it, left_out = single(Total, numbers=(1, 2), scale=1), single(Total, numbers=(1, 2))
    assert key_of(storeless, given_it) == key_of(storeless, left_out)


def test_a_version_and_a_setting_are_in_the_key(storeless: Engine) -> None:
    changed = [replace(Half, version=2), replace(Half, settings=("precision",)), replace(Half, origin="ab" * 32)]  # type: ignore[type-var]
    keys = {key_of(storeless, single(type, number=1.0)) for type in (Half, *changed)}
    assert len(keys) == 4
