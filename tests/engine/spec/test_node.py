"""`@node`: the signature is the spec; a call adds a node inside a graph and runs outside."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple

import pytest

from weft.engine import (
    INJECTED,
    Artifact,
    CatalogError,
    Context,
    Graph,
    InputError,
    InputFile,
    Link,
    NodeType,
    Range,
    named,
    node,
)


class Parts(NamedTuple):
    """Two outputs."""

    whole: int
    rest: float


@node(category="numbers", version=3, lane="io", settings=("precision",))
def Split(
    number: float,
    *,
    base: Annotated[int, Range(1, 10)] = 1,
    mode: Literal["floor", "round"] = "floor",
    context: Context = INJECTED,
) -> Parts:
    """Split a number.

    The rest is what is left.

    Args:
        number: what is split,
            on two lines.
        base: the grid.
    """
    context.progress(1, 1)
    whole = math.floor(number / base)
    return Parts(whole, number - whole * base)


@node
def Write(text: str) -> Artifact:
    """A sink."""
    return Artifact(text.encode(), "application/json", "text")


def spec(made: Any) -> NodeType:
    """The node type behind a node, which type checkers see as its function."""
    assert isinstance(made, NodeType)
    return made


def test_the_signature_is_the_spec() -> None:
    split = spec(Split)
    assert [(one.name, str(one.type), one.required) for one in split.inputs.values()] == [
        ("number", "float", True),
        ("base", "int", False),
        ("mode", "choice", False),
    ]
    assert list(split.outputs) == ["whole", "rest"] and not split.sink and spec(Write).sink


def test_the_docstring_is_the_help() -> None:
    split = spec(Split)
    assert split.summary == "Split a number."
    assert split.description == "Split a number.\n\nThe rest is what is left."
    assert {one.name: one.help for one in split.inputs.values()} == {
        "number": "what is split, on two lines.",
        "base": "the grid.",
        "mode": "",
    }


def test_outside_a_graph_a_call_runs_at_once() -> None:
    assert Split(7.5, base=2) == Parts(3, 1.5)
    assert Split(7) == (7, 0.0)


def test_outside_a_graph_values_are_held_to_their_types() -> None:
    with pytest.raises(InputError) as raised:
        Split(1.0, base=11)
    assert raised.value.code == "out-of-range" and "`base`" in raised.value.message
    with pytest.raises(TypeError, match=r"Split: missing .*`number`"):
        Split()  # type: ignore[call-arg]


def test_inside_a_graph_a_call_adds_a_node() -> None:
    with Graph() as graph:
        parts = Split(7.5, base=2)
        named("second", Split)(parts.rest)
    assert list(map(str, parts)) == ["split.whole", "split.rest"]
    assert graph.nodes["second"].inputs == {"number": Link("split", "rest")}


def no_annotation(x) -> int:  # type: ignore[no-untyped-def]
    return 1


def no_output(x: int):  # type: ignore[no-untyped-def]
    return 1


def bad_default(x: int = "5") -> int:  # type: ignore[assignment]
    return x


def no_default(x: int = None) -> int:  # type: ignore[assignment]  # noqa: RUF013
    return x


def any_number(*x: int) -> int:
    return 1


def strange(x: set[int]) -> int:
    return 1


def files(x: Annotated[list[str], InputFile()]) -> int:
    return 1


def unknown(x: Nowhere) -> int:  # type: ignore[name-defined]  # noqa: F821
    return 1


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_annotation, "no_annotation: `x` has no annotation"),
        (no_output, "no_output: no return annotation"),
        (bad_default, 'bad_default: the default of `x`: expected an int, found "5"'),
        (no_default, "no_default: the default of `x`: expected an int, found null"),
        (any_number, "any_number: `x` is no input"),
        (strange, "strange: `x`: set"),
        (files, "files: `x`: an input that names files takes one of them"),
        (unknown, "unknown: an annotation names something unknown"),
    ],
)
def test_functions_that_are_no_nodes(function: Any, words: str) -> None:
    with pytest.raises(CatalogError) as caught:
        node(function)
    assert str(caught.value).startswith(words)


def test_a_lane_is_one_of_three() -> None:
    with pytest.raises(CatalogError, match="tpu"):
        node(lane="tpu")(bad_default)
