"""Engines: node types of a third party, the default store, and what they keep between runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.refusals import names
from weft.engine import CatalogError, Engine, Graph, GraphError, NodeError
from weft.engine.graph.document import read
from weft.engine.settings import resolve

THIRD_PARTY = '''"""A node of a third party."""

from weft.engine import node


@node(category="text")
def Shout(text: str) -> str:
    """Say it louder."""
    return text.upper().strip() + "!"
'''

GRAPH = '{"weft": 1, "nodes": {"a": {"type": "Shout", "inputs": {"text": "hello"}}}, "outputs": {"out": {"link": "a"}}}'


def engine_with(source: str, folder: Path) -> Engine:
    """An engine with a file of nodes."""
    (folder / "shout.py").write_text(source)
    return Engine(nodes=[folder / "shout.py"], store=folder / "store", device="cpu")


def test_a_third_partys_node_runs_and_is_cached(tmp_path: Path) -> None:
    engine = engine_with(THIRD_PARTY, tmp_path)
    assert len(THIRD_PARTY.splitlines()) <= 15 and engine.catalog["Shout"].category == "text"
    assert engine.run(read(GRAPH)).outputs == {"out": "HELLO!"}
    assert engine_with(THIRD_PARTY, tmp_path).run(read(GRAPH)).cached == ("a",)


def test_a_third_partys_fault_is_reported_as_its_nodes(tmp_path: Path) -> None:
    engine = engine_with(THIRD_PARTY.replace("text.upper()", "text.uper()"), tmp_path)
    with pytest.raises(NodeError) as caught:
        engine.run(read(GRAPH))
    assert (caught.value.node, caught.value.type) == ("a", "Shout")
    assert isinstance(caught.value.cause, AttributeError) and caught.value.cause.name == "uper"


def test_editing_a_third_partys_file_runs_it_again(tmp_path: Path) -> None:
    engine_with(THIRD_PARTY, tmp_path).run(read(GRAPH))
    edited = engine_with(THIRD_PARTY.replace('"!"', '"?"'), tmp_path)
    assert edited.run(read(GRAPH)).outputs == {"out": "HELLO?"}


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("def Shout(: pass", r"\bSyntaxError\b"),
        ("import nowhere_at_all", r"\bModuleNotFoundError\b.*\bnowhere_at_all\b"),
        ("x = 1", r"@node\b.*\bx\b"),
        ("raise SystemExit(3)", r"\bSystemExit\b"),
        (THIRD_PARTY.replace("text: str", "text"), r"\bShout\b.*\btext\b"),
    ],
)
def test_a_file_that_is_no_node_library(source: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=rf"shout\.py.*{named}"):
        engine_with(source, tmp_path)


def test_two_files_cannot_give_one_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(THIRD_PARTY)
    with pytest.raises(CatalogError, match=r"two\.py.*\bShout\b"):
        Engine(nodes=[tmp_path / "one.py", tmp_path / "two.py"], store=None)


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path: Path) -> None:
    paths = [tmp_path / "one" / "mine.py", tmp_path / "two" / "mine.py"]
    for path, name in zip(paths, ("Shout", "Whisper"), strict=True):
        path.parent.mkdir()
        path.write_text(THIRD_PARTY.replace("Shout", name))
    assert {"Shout", "Whisper"} <= {*Engine(nodes=paths, store=None).catalog}


def test_a_missing_file_of_nodes(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none\.py"):
        Engine(nodes=[tmp_path / "none.py"], store=None)


def test_with_the_store_and_without_it_outputs_are_equal(tmp_path: Path) -> None:
    engine = engine_with(THIRD_PARTY, tmp_path)
    cold, warm = engine.run(read(GRAPH)), engine.run(read(GRAPH))
    without = replace(engine, store=None).run(read(GRAPH))
    assert cold.outputs == warm.outputs == without.outputs and warm.cached and not without.cached


def test_a_graph_file_and_a_picture_run_by_their_paths(tmp_path: Path) -> None:
    engine = engine_with(THIRD_PARTY, tmp_path)
    (tmp_path / "graph.json").write_text(GRAPH)
    assert engine.run(str(tmp_path / "graph.json")).outputs == {"out": "HELLO!"}
    assert engine.submit(tmp_path / "graph.json").result(60).outputs == {"out": "HELLO!"}
    assert [*engine.plan(tmp_path / "graph.json").of("cached")] and not engine.check(tmp_path / "graph.json").problems
    picture = "from io import BytesIO\nfrom PIL import Image\nfrom weft.engine import Artifact, node\n\n\n@node\n"
    picture += 'def Dot(level: int) -> Artifact:\n    """A dot."""\n    packed = BytesIO()\n'
    picture += '    Image.new("L", (1, 1), level).save(packed, "PNG")\n'
    (tmp_path / "dot.py").write_text(picture + '    return Artifact(packed.getvalue(), "image/png", "dot")\n')
    with Engine(store=None, output=tmp_path, nodes=[tmp_path / "dot.py"], device="cpu") as dots:
        (path,) = dots.run(read('{"weft": 1, "nodes": {"a": {"type": "Dot", "inputs": {"level": 7}}}}')).paths
        assert dots.check(str(path)).graph.nodes["a"].inputs == {"level": 7} and dots.run(path).paths == (path,)
    with pytest.raises(GraphError):
        engine.run("none.json")


def test_an_engine_says_its_device_its_store_and_how_many_types_it_has(tmp_path: Path) -> None:
    engine = engine_with(THIRD_PARTY, tmp_path)
    shown = repr(engine)
    assert "cpu" in shown and str(tmp_path / "store") in shown and str(len(engine.catalog)) in shown
    assert len(shown.splitlines()) == 1 and "Limits" not in shown


def test_the_default_store_is_the_users(tmp_path: Path) -> None:
    assert resolve(environment={"WEFT_CONFIG": "", "WEFT_STORE": str(tmp_path)}).store_folder == tmp_path
    assert resolve(environment={"WEFT_CONFIG": ""}).store_folder.parts[-2:] == ("weft", "store")


def test_a_graph_without_nodes_runs_nothing(tmp_path: Path) -> None:
    problems = Engine(store=None).check(Graph()).problems
    assert [problem.code for problem in problems] == ["nothing-to-run"]


def test_a_third_partys_check_that_fails_is_that_nodes_fault(tmp_path: Path) -> None:
    checked = THIRD_PARTY.replace("(category", "(check=lambda given, limits: given['txt'], category")
    (problem,) = engine_with(checked, tmp_path).check(read(GRAPH)).problems
    assert (problem.code, problem.node) == ("failed-check", "a") and names(problem, "Shout", "KeyError: 'txt'")
