"""Passes give a new draft and leave the one that they take as it was; what they cannot find they record."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import pytest

from weft.engine import Choose, InputFile, Limits, Link, Node, SearchPaths, node
from weft.engine.checking import passes
from weft.engine.checking.draft import Draft
from weft.engine.checking.inlining import Flat
from weft.engine.spec.call import Gather
from weft.engine.spec.catalog import Catalog


@node
def Add(a: int, b: int = 2) -> int:
    """A sum."""
    return a + b


@node
def Size(path: Annotated[str, InputFile()]) -> int:
    """The length of a path."""
    return len(path)


TYPES: dict[str, Any] = {"Add": Add, "Size": Size, "Choose": Choose}


def draft(nodes: dict[str, Node], **parts: Any) -> Draft:
    """A draft of these nodes, before any pass."""
    return Draft(Flat(nodes), Catalog(TYPES), SearchPaths(), Limits(), **parts)


CHAIN = {"last": Node("Add", {"a": Link("first")}), "first": Node("Add", {"a": 1}), "other": Node("Nowhere")}


@pytest.mark.parametrize("one", passes.PASSES, ids=lambda one: one.__name__)
def test_a_pass_leaves_its_draft_as_it_was(one: Any) -> None:
    before = draft(CHAIN, types={"last": Add, "first": Add})
    copy = replace(before, types=dict(before.types), calls=dict(before.calls))
    one(before)
    assert before == copy


def test_types_are_looked_up_where_they_are_known() -> None:
    assert dict(passes.look_up_types(draft(CHAIN)).types) == {"last": Add, "first": Add}


def test_nodes_are_ordered_unless_there_is_a_circle() -> None:
    order = passes.order_nodes(draft(CHAIN)).order
    assert order.index("first") < order.index("last") and {*order} == {*CHAIN}
    assert passes.order_nodes(draft(CHAIN | {"first": Node("Add", {"a": Link("last")})})).order == ()


def test_a_generic_type_becomes_the_type_of_what_it_is_given() -> None:
    nodes = {
        "pick": Node("Choose", {"index": 0, "items": ("a", "b")}),
        "again": Node("Choose", {"items": (Link("pick"),)}),
    }
    found = passes.specialise_types(passes.order_nodes(passes.look_up_types(draft(nodes))))
    assert [str(found.types[id].outputs["value"].type) for id in ("pick", "again")] == ["str", "str"]


def test_inputs_are_bound_or_refused() -> None:
    nodes = {
        **CHAIN,
        "bad": Node("Add", {"a": "x", "b": 1}),
        "pick": Node("Choose", {"index": 0, "items": (Link("first"), 3)}),
    }
    found = passes.bind_inputs(passes.look_up_types(draft(nodes)))
    assert dict(found.calls["last"].inputs) == {"a": Link("first", "int"), "b": 2}
    assert dict(found.calls["bad"].inputs) == {"b": 1} and [*found.refused] == [("bad", "a")]
    assert found.calls["pick"].inputs["items"] == Gather((Link("first", "int"), 3))


def test_files_are_found_or_unusable() -> None:
    nodes = {"here": Node("Size", {"path": "pyproject.toml"}), "gone": Node("Size", {"path": "none.txt"})}
    found = passes.find_files(passes.bind_inputs(passes.look_up_types(draft(nodes))))
    assert [*found.calls["here"].resources] == ["pyproject.toml"] and [*found.unusable] == [("gone", "path")]
    assert found.unusable["gone", "path"].code == "missing-file"


def test_what_is_wanted_are_outputs_unless_nodes_are_selected() -> None:
    flat = Flat(CHAIN, outputs={"out": Link("last")})
    assert passes.choose_wanted(replace(draft(CHAIN), flat=flat)).wanted == ("last",)
    assert passes.choose_wanted(replace(draft(CHAIN), flat=flat, only=("first", "none"))).wanted == ("first",)
