"""Runs: events, failures that stop only what is below them, cancel, damage, and inputs that stay as they were."""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import pytest
import torch

from tests.refusals import refused
from weft.engine import INJECTED, Artifact, Context, Engine, Graph, Link, NodeError, Range, events, named, node, value


@node
def Number(value: int) -> int:
    """A number."""
    return value


@node
def Sum(numbers: list[float]) -> float:
    """Add up; the types show in the text of the result."""
    assert all(type(number) is float for number in numbers)
    return sum(numbers)


@node
def Invert(number: float) -> float:
    """Divide by a number, which may be zero."""
    return 1 / number


@node
def Percent(number: Annotated[int, Range(0, 100)]) -> int:
    """Take what a link brings, within bounds."""
    return number


@node
def Lie(value: int) -> str:
    """Give something else than the annotation says."""
    return value  # type: ignore[return-value]


@node
def Strange(value: int) -> Any:
    """Give what no link can carry."""
    return {value, value + 1}


@node
def Keep(anything: Any) -> Any:
    """Give back what comes."""
    return anything


@node
def Slow(steps: int, context: Context = INJECTED) -> int:
    """Report each step."""
    for step in range(steps):
        context.progress(step + 1, steps)
    return steps


@node
def Write(text: str, name: str = "text") -> Artifact:
    """A sink."""
    return Artifact(text.encode(), "application/json", name)


def names(heard: Sequence[events.Event]) -> list[str]:
    """The events as words: what, and about which node."""
    return [" ".join(str(event.plain()[key]) for key in ("event", "node") if key in event.plain()) for event in heard]


def test_a_run_tells_what_happens(engine: Engine) -> None:
    with Graph() as graph:
        Slow(2)
        Write("x")
    heard: list[events.Event] = []
    engine.run(graph, only=["slow", "write"], listener=heard.append)
    assert names(heard) == [
        "run_started",
        "node_started slow",
        "node_progress slow",
        "node_progress slow",
        "node_finished slow",
        "node_started write",
        "node_finished write",
        "artifact write",
        "run_finished",
    ]


def test_a_cached_run_says_from_where(engine: Engine) -> None:
    with Graph() as graph:
        Write("x")
    engine.run(graph)
    heard: list[events.Event] = []
    result = engine.run(graph, listener=heard.append)
    assert heard[1] == events.NodeCached("write", "Write", "memory")
    assert result.cached == ("write",) and not result.ran


def test_one_failure_stops_only_what_is_below(storeless: Engine) -> None:
    with Graph() as graph:
        named("below", Sum)([named("bad", Invert)(0.0), 1.0])
        named("good", Invert)(2.0)
    heard: list[events.Event] = []
    result = storeless.execute(storeless.plan(graph, only=["below", "good"]), listener=heard.append)
    assert result.status == "failed" and result.ran == ("good",)
    assert events.NodeBlocked("below", "Sum", by="bad") in heard


def test_a_failure_names_node_type_and_cause(storeless: Engine) -> None:
    with Graph() as graph:
        named("bad", Invert)(0.0)
    with pytest.raises(NodeError, match=r"^bad .*\bInvert\b.*\bZeroDivisionError\b") as caught:
        storeless.run(graph, only=["bad"])
    assert (caught.value.node, caught.value.type) == ("bad", "Invert")
    assert isinstance(caught.value.cause, ZeroDivisionError)


@pytest.mark.parametrize(
    ("type", "found"),
    [(Lie, "int"), (Strange, "set")],
)
def test_a_value_that_is_not_what_it_should_be_is_the_nodes_fault(type: Any, found: str, engine: Engine) -> None:
    with Graph() as graph:
        type(1, id="bad")
    with pytest.raises(NodeError) as caught:
        engine.run(graph, only=["bad"])
    assert (caught.value.node, caught.value.type) == ("bad", type.name)
    assert isinstance(caught.value.cause, TypeError) and re.search(rf"\b{found}\b", str(caught.value.cause))


def test_an_int_becomes_a_float_alone_and_in_a_list(storeless: Engine) -> None:
    with Graph() as graph:
        named("alone", Invert)(Number(4))
        named("listed", Sum)([Number(4), 5, 6.0])
    result = storeless.run(graph, only=["alone", "listed"])
    assert result.status == "done" and not result.failures


def test_bounds_hold_for_what_comes_over_a_link(storeless: Engine) -> None:
    with Graph() as graph:
        named("percent", Percent)(Number(101))
    with refused("out-of-range", "number", 101, node="percent"):
        storeless.run(graph, only=["percent"])


def test_any_literal_goes_through_the_store_as_it_is(tmp_path: Path) -> None:
    with Graph() as graph:
        named("kept", Keep)({"a": [1, 2.0, None, {"b": True}], "c": "ä"})
    graph = Graph(nodes=graph.nodes, types=graph.types, outputs={"out": Link("kept")})
    cold, warm = (Engine(store=tmp_path).run(graph) for _ in range(2))
    assert cold.outputs == warm.outputs == {"out": {"a": [1, 2.0, None, {"b": True}], "c": "ä"}}
    assert warm.cached == ("kept",)


def test_cancel_is_looked_at_in_every_step(engine: Engine) -> None:
    with Graph() as graph:
        named("first", Number)(1)
        named("slow", Slow)(1000)
    heard: list[events.Event] = []
    planned = engine.plan(graph, only=["first", "slow"])
    result = engine.execute(planned, listener=heard.append, cancelled=lambda: len(heard) > 10)
    assert result.status == "cancelled" and result.ran == ("first",)
    assert engine.plan(graph, only=["first", "slow"]).steps[0].state == "cached"


def damage(folder: Path, kind: str) -> None:
    """Break every file of a kind in a store."""
    for path in [path for path in (folder / "v1" / kind).rglob("*") if path.is_file()]:
        path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize("how", ["broken record", "broken blob", "missing blob"])
def test_damage_is_reported_and_computed_again(how: str, tmp_path: Path) -> None:
    with Graph() as graph:
        Write("x")
    store, output = tmp_path / "store", tmp_path / "output"
    Engine(store=store, output=output).run(graph)
    if how == "missing blob":
        next(path for path in (store / "v1" / "blobs").rglob("*") if path.is_file()).unlink()
    else:
        damage(store, {"broken record": "traces", "broken blob": "blobs"}[how])
    heard: list[events.Event] = []
    result = Engine(store=store, output=output).run(graph, listener=heard.append)
    assert [event.node for event in heard if isinstance(event, events.StoreDamaged)] == ["write"]
    assert result.ran == ("write",) and result.paths[0].read_bytes() == b"x"
    assert Engine(store=store, output=output).run(graph).cached == ("write",)


def test_a_run_does_not_edit_its_file(engine: Engine, tmp_path: Path) -> None:
    with Graph(title="Kept") as graph:
        Write("x")
    path = tmp_path / "graph.json"
    graph.save(path)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    engine.run(Graph(nodes=Graph.load(path).nodes, types=graph.types, path=path))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_result_can_be_read(engine: Engine) -> None:
    with Graph() as graph:
        Write("x")
    result = engine.run(graph)
    head, path = str(result).splitlines()
    assert head.startswith("done: 1 ran, 0 cached in ") and path.endswith("output/text_0001.json")


def test_a_result_as_json_has_outputs_and_failures_with_their_fields(storeless: Engine) -> None:
    with Graph() as graph:
        graph.output("good", named("good", Invert)(2.0))
        graph.output("bad", named("bad", Percent)(Number(101)))
    found = storeless.execute(storeless.plan(graph)).plain()
    assert orjson.loads(orjson.dumps(found)) == found
    assert (found["status"], found["outputs"]) == ("failed", {"good": {"value": 0.5}})
    (failure,) = found["failures"]
    assert (failure["node"], failure["type"], failure["raised"]) == ("bad", "Percent", "InputError")
    assert failure["message"] and failure["message"] in failure["error"]


def test_outputs_are_events_before_the_end(storeless: Engine) -> None:
    with Graph() as graph:
        graph.output("one", Number(1))
        graph.output("matrix", Turned(3))
    heard: list[events.Event] = []
    storeless.run(graph, listener=heard.append)
    given = [event for event in heard if isinstance(event, events.OutputGiven)]
    assert heard[-3:-1] == given and given[0].plain() == {"event": "output", "name": "one", "value": 1}
    assert given[1].plain()["type"] == "Matrix" and given[1].plain()["bytes"] == 72


def test_an_artifact_that_cannot_be_written_is_its_nodes_fault(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "below").write_text("a file where the folder should be")
    with Graph() as graph:
        Write("x", name="below/text")
    with refused("unwritable-file", tmp_path / "output" / "below", node="write"):
        engine.run(graph)


def test_a_failure_goes_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(NodeError("n", "Type", ValueError("no"))))
    assert str(error) == "n (Type): ValueError: no" and error.node == "n"


@value
@dataclass(frozen=True, eq=False)
class Matrix:
    """Numbers in rows and columns."""

    numbers: torch.Tensor


@node
def Turned(size: int) -> Matrix:
    """A matrix whose columns lie in memory one after another."""
    return Matrix(torch.arange(size * size).reshape(size, size).T)


@node
def Stride(matrix: Matrix) -> int:
    """How far two rows are apart in memory."""
    return matrix.numbers.stride()[0]


def test_values_are_laid_out_as_a_store_gives_them(engine: Engine, storeless: Engine) -> None:
    with Graph() as graph:
        graph.output("stride", Stride(Turned(3)))
    assert engine.run(graph).outputs == storeless.run(graph).outputs == {"stride": 3}
