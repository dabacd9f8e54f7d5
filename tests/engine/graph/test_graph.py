"""Graphs are values: composed in Python, printed, changed by `set`, and the same after a file."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from weft.engine import Engine, Graph, GraphError, Link, Node, named, node
from weft.engine.graph.builder import snake
from weft.engine.graph.document import read, write
from weft.engine.graph.graph import Parameter


@node
def TextEncode(text: str, weight: float = 1.0) -> str:
    """Encode."""
    return text * int(weight)


@node
def Join(texts: list[str]) -> str:
    """Join."""
    return "".join(texts)


def test_ids_come_from_types_or_from_the_call() -> None:
    with Graph() as graph:
        TextEncode("a")
        TextEncode("b")
        named("last", TextEncode)("c")
    assert list(graph.nodes) == ["text_encode", "text_encode_2", "last"]
    assert (snake("KSampler"), snake("VAEDecode")) == ("k_sampler", "vae_decode")


def test_an_id_is_given_once() -> None:
    with Graph(), pytest.raises(GraphError) as twice:
        named("a", TextEncode)("x")
        named("a", TextEncode)("y")
    with Graph(), pytest.raises(GraphError) as malformed:
        named("a/b", TextEncode)("x")
    assert [raised.value.problems[0].code for raised in (twice, malformed)] == ["duplicate-id", "malformed-id"]


def test_a_graph_is_frozen() -> None:
    with Graph() as graph:
        Join([TextEncode("a"), "b"])
    with pytest.raises(TypeError):
        graph.nodes["new"] = Node("Join")  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        graph.title = "other"  # type: ignore[misc]
    assert graph.nodes["join"].inputs["texts"] == (Link("text_encode"), "b")


def test_set_gives_a_changed_graph_and_leaves_the_old_one() -> None:
    with Graph() as graph:
        TextEncode("a")
    changed = graph.set("text_encode.text", "b")
    assert changed.nodes["text_encode"].inputs["text"] == "b"
    assert graph.nodes["text_encode"].inputs["text"] == "a"


@pytest.mark.parametrize(("target", "nearest"), [("text_encod.text", "text_encode"), ("promt", "prompt")])
def test_set_on_nothing_is_refused(target: str, nearest: str) -> None:
    nodes = {"text_encode": Node("TextEncode")}
    graph = Graph(nodes=nodes, parameters={"prompt": Parameter(("text_encode.text",))})
    with refused("unknown-target", nearest):
        graph.set(target, 1)


@pytest.mark.parametrize(
    ("target", "meant"),
    [("weight", "a.weight"), ("num_inference_words", "words"), ("text", "words")],
)
def test_an_unknown_parameter_is_an_input_or_a_longer_name(target: str, meant: str) -> None:
    graph = two_texts().set("a.weight", 1.0)
    with refused("unknown-target", meant):
        graph.set(target, 1)


def test_replace_changes_several_things_at_once() -> None:
    graph = two_texts()
    changed = graph.replace(
        {"a.extra": Link("b"), "a.weight": 2.0, "b": Node("Join", {"texts": ["x"]}), "inner": two_texts()}, words="new"
    )
    assert changed.nodes["a"].inputs == {"text": "a", "extra": Link("b"), "weight": 2.0}
    assert changed.nodes["b"] == Node("Join", {"texts": ("x",)})
    assert changed.parameters["words"].default == "new" and list(changed.graphs["inner"].nodes) == ["a", "b"]
    assert graph == two_texts() and graph.replace() == graph


def test_what_is_replaced_must_be_there_and_all_problems_come_at_once() -> None:
    with pytest.raises(GraphError) as caught:
        two_texts().replace({"c.text": 1, "bb": Node("Join"), "outer": Graph()}, word="x")
    problems = caught.value.problems
    assert [problem.code for problem in problems] == ["unknown-target"] * 4
    targets = ("`c.text`", "`bb`", "`outer`", "`word`")
    assert all(target in problem.message for target, problem in zip(targets, problems, strict=True))


def two_texts() -> Graph:
    nodes = {"a": Node("TextEncode", {"text": "a"}), "b": Node("TextEncode", {"text": "b"})}
    return Graph(nodes=nodes, parameters={"words": Parameter(("a.text", "b.text"))}, graphs={"inner": Graph()})


def test_a_printed_graph_can_be_read() -> None:
    with Graph(title="Two texts") as graph:
        Join([TextEncode("a"), "b"])
    parameters = {"words": Parameter(("join.texts", "text_encode.text"))}
    graph = replace(graph, parameters=parameters, outputs={"both": Link("join")}, graphs={"tile": two_texts()})
    assert str(graph).splitlines() == [
        "Graph 'Two texts', 2 nodes",
        "  <words> sets join.texts, text_encode.text",
        '  text_encode = TextEncode(text="a")',
        '  join        = Join(texts=[text_encode, "b"])',
        "  -> both = join",
        "  graph:tile of 2 nodes",
    ]
    assert repr(graph) == "<Graph 'Two texts': 2 nodes>"


IDS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True)
PLAIN = st.text() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
LINKS = st.builds(Link, IDS, st.none() | IDS)
OBJECTS = st.dictionaries(st.text(), PLAIN | st.lists(PLAIN, max_size=2).map(tuple), max_size=3)
INPUTS = st.dictionaries(
    st.text(), PLAIN | LINKS | OBJECTS | st.lists(PLAIN | LINKS | OBJECTS, max_size=3).map(tuple), max_size=3
)
NODES = st.dictionaries(IDS, st.builds(Node, st.text(min_size=1), INPUTS, st.text()), max_size=4)
PARAMETERS = st.builds(
    lambda sets, default, text: Parameter(tuple(sets), default=default, has_default=True, description=text),
    st.lists(st.text(), min_size=1, max_size=2),
    PLAIN,
    st.text(),
)
INNER = st.builds(Graph, title=st.text(), nodes=NODES)
GRAPHS = st.builds(
    Graph,
    title=st.text(),
    nodes=NODES,
    parameters=st.dictionaries(IDS, PARAMETERS, max_size=2),
    outputs=st.dictionaries(IDS, LINKS, max_size=2),
    graphs=st.dictionaries(IDS, INNER, max_size=2),
    description=st.text(),
    notes=st.text(),
    layout=OBJECTS,
)


@given(GRAPHS)
def test_a_graph_is_the_same_after_a_file(graph: Graph) -> None:
    again = read(write(graph))
    assert not again.faults and again == graph


def test_save_and_load(tmp_path: Path) -> None:
    with Graph(title="Saved") as graph:
        Join([TextEncode("é"), "b"])
    graph.save(tmp_path / "graph.json")
    loaded: Any = Graph.load(tmp_path / "graph.json")
    assert loaded == graph and loaded.path == tmp_path / "graph.json"


def doubled() -> Graph:
    """A subgraph that says a text several times."""
    with Graph(title="Say it") as graph:
        times = graph.parameter("times", default=2.0, max=9)
        graph.output("text", TextEncode(graph.parameter("text"), times))
    return graph


def test_a_subgraph_is_composed_and_called(storeless: Engine) -> None:
    inner = doubled()
    with Graph() as graph:
        graph.output("out", Join([inner(text="x"), inner(text="y", times=3.0, id="thrice")]))
    assert list(graph.nodes) == ["say_it", "thrice", "join"] and list(graph.graphs) == ["say_it"]
    assert storeless.run(graph).outputs == {"out": "xxyyy"}
    assert read(write(graph)) == graph


def test_a_subgraph_is_repeated_over_a_list(storeless: Engine) -> None:
    inner = doubled()
    with Graph() as graph:
        graph.output("out", Join(inner.each(text=["a", "b", "c"], times=1.0)))
    assert storeless.run(graph).outputs == {"out": "abc"}


def test_a_parameter_goes_through_to_a_subgraph(storeless: Engine) -> None:
    inner = doubled()
    with Graph() as graph:
        words = graph.parameter("words")
        graph.output("out", Join([inner(text=words), TextEncode(words)]))
    assert graph.parameters["words"].sets == ("say_it.text", "text_encode.text")
    assert storeless.run(graph.replace(words="z")).outputs == {"out": "zzz"}


def test_several_outputs_of_a_subgraph_have_names(storeless: Engine) -> None:
    with Graph(title="2 of them") as inner:
        inner.output("one", TextEncode("a"))
        inner.output("two", TextEncode("b"))
    with Graph() as graph:
        both = inner()
        graph.output("out", Join([both.two, both.one]))
    assert list(graph.graphs) == ["_2_of_them"] and storeless.run(graph).outputs == {"out": "ba"}


def test_graphs_are_called_in_graphs_only() -> None:
    with pytest.raises(GraphError) as called:
        doubled()(text="x")
    with pytest.raises(GraphError) as output:
        doubled().output("x", Link("text_encode"))
    assert [raised.value.problems[0].code for raised in (called, output)] == ["outside-graph"] * 2


def test_an_output_cannot_be_named_twice() -> None:
    with Graph() as graph:
        graph.output("text", TextEncode("a"))
        with pytest.raises(GraphError) as refused:
            graph.output("text", TextEncode("b"))
    assert [problem.code for problem in refused.value.problems] == ["duplicate-output"]
    assert graph.outputs["text"].node == "text_encode"


def test_an_input_that_a_parameter_gives_its_value_is_not_set_apart_from_it() -> None:
    nodes = {"n": Node("Integer", {"value": 1})}
    free = Graph(nodes=nodes, parameters={"a": Parameter(("n.value",))})
    given = free.replace(a=4)
    assert free.replace({"n.value": 2}).nodes["n"].inputs["value"] == 2
    for graph, changes in ((given, {"n.value": 2}), (free, {"n.value": 2, "a": 3})):
        with refused("set-twice"):
            graph.replace(changes)
