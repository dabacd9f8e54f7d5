"""Where several names are taken, one name is a list of one, in every call that takes several."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from weft.engine import Engine, Graph, named, node
from weft.engine.farm.work.job_facts import Setup
from weft.engine.one_or_many import one_or_many

NODES = """
from weft.engine import node
@node
def Five() -> int: return 5
"""


@node
def Six() -> int:
    """Six."""
    return 6


@pytest.mark.parametrize(
    ("given", "taken"),
    [("models", ("models",)), (Path("a"), (Path("a"),)), (["a", "b"], ("a", "b")), (iter("ab"), ("a", "b")), (3, (3,))],
)
def test_one_thing_is_a_tuple_of_one(given: Any, taken: tuple[Any, ...]) -> None:
    assert one_or_many(given) == taken


def test_an_engine_takes_one_folder_or_file_where_it_takes_several(tmp_path: Path) -> None:
    file = tmp_path / "five.py"
    file.write_text(NODES)
    path = cast(Any, file)  # a path is no sequence of paths to a type checker
    with Engine(store=None, models="models", inputs="inputs", nodes=path) as engine:
        places = engine.places()
        assert places.models[0] == Path("models") and places.inputs[0] == Path("inputs") and "Five" in engine.catalog


def test_only_takes_one_node() -> None:
    with Graph() as graph:
        graph.output("a", named("first", Six)())
        graph.output("b", named("second", Six)())
    with Engine(store=None, history=False) as engine:
        assert [step.call.id for step in engine.plan(graph, only="first").steps] == ["first"]
        assert not engine.check(graph, only="first").problems
        assert engine.submit(graph, only="second").result(30).ran == ("second",)


def test_the_setup_of_a_farm_takes_one_folder() -> None:
    setup = Setup(models=cast(Any, "models"), nodes=cast(Any, Path("n.py")))
    assert (setup.models, setup.nodes) == (("models",), ("n.py",))


def test_a_node_type_takes_one_setting() -> None:
    @node(settings="precision")
    def Precise() -> int:
        return 1

    assert cast(Any, Precise).settings == ("precision",)
