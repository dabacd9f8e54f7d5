"""What a graph can be asked for: types, bounds and defaults come from what its parameters set."""

from __future__ import annotations

from typing import Annotated, Literal

from weft.engine import Graph, Node, Range, node
from weft.engine.checking.parameters import parameter_summaries
from weft.engine.graph.graph import Parameter
from weft.engine.spec.catalog import Catalog


@node
def Paint(text: str, steps: Annotated[int | list[int], Range(1, 50)] = 20, style: Literal["oil", "ink"] = "oil") -> str:
    """Paint.

    Args:
        text: what to paint.
    """
    return f"{text} {steps} {style}"


CATALOG = Catalog({"Paint": Paint})  # type: ignore[dict-item]


def graph(**parameters: Parameter) -> Graph:
    """A node that paints, alone and in a subgraph."""
    inner = Graph(nodes={"paint": Node("Paint", {"steps": 7})}, parameters={"steps": Parameter(("paint.steps",))})
    nodes = {"paint": Node("Paint", {"text": "a boat"}), "within": Node("graph:inner")}
    return Graph(nodes=nodes, parameters=parameters, graphs={"inner": inner})


def test_what_a_parameter_leaves_out_comes_from_its_target() -> None:
    text, steps, style = parameter_summaries(
        graph(
            text=Parameter(("paint.text",)),
            steps=Parameter(("paint.steps",), max=30, default=5, has_default=True),
            style=Parameter(("paint.style",), description="How"),
        ),
        CATALOG,
    )
    assert (text.type, text.default, text.description) == ("str", '"a boat"', "what to paint.")
    assert (steps.type, steps.bounds, steps.default) == ("int or list of int", "1 to 30", "5")
    assert (style.bounds, style.default, style.description) == ("one of oil, ink", '"oil"', "How")


def test_targets_are_followed_into_subgraphs() -> None:
    (steps,) = parameter_summaries(graph(steps=Parameter(("within.steps",))), CATALOG)
    assert (steps.type, steps.bounds) == ("int or list of int", "1 to 50")
