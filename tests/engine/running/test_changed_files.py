"""Files that change while a graph is planned and run: results are kept under the keys of what was read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import pytest

from weft.engine import (
    INJECTED,
    Context,
    Engine,
    Graph,
    GraphError,
    InputError,
    InputFile,
    Loading,
    Recipe,
    Resolved,
    Resource,
    SearchPaths,
    Switch,
    events,
    find,
    node,
    value,
)
from weft.engine.planning.replan import PLANS

Hook = Callable[[str], None]

HOOKS: list[Hook] = []
"""Called with the name of each moment in which a test may change files."""


def moment(name: str) -> None:
    for hook in HOOKS:
        hook(name)


@pytest.fixture
def at() -> Iterator[Callable[[str, Callable[[], object]], None]]:
    """Has something done at the first moment of a name."""

    def add(name: str, work: Callable[[], object]) -> None:
        waiting = [work]

        def hook(now: str) -> None:
            if now == name and waiting:
                waiting.pop()()

        HOOKS.append(hook)

    yield add
    HOOKS.clear()


def probe(path: Path) -> None:
    moment("checked")


@node(lane="io")
def ReadText(path: Annotated[str, InputFile(probe=probe)], context: Context = INJECTED) -> str:
    """Read a text by the path of its file."""
    (file,) = context.found(path).resolved.files
    moment("before reading")
    text = file.read_text()
    moment("after reading")
    return text


@node
def ReadContent(path: Annotated[str, InputFile()], context: Context = INJECTED) -> str:
    """Read a text by its bytes."""
    moment("before reading")
    return context.content(path).decode()


@node
def Upper(text: str) -> str:
    """A text in capitals."""
    moment("between")
    return text.upper()


@node
def Joined(one: str, other: str) -> str:
    """Two texts."""
    return one + other


@dataclass(frozen=True)
class FirstLetter:
    """What the head of a text says."""

    letter: str


class Text(Resource):
    """A text whose first letter is its header."""

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        path = find(text, places.files)
        if path is None:
            raise InputError("none", "", "missing-file")
        facts = FirstLetter(path.read_text()[:1])
        moment("checked")
        return Resolved(text, path, (path,), facts=facts)


@node
def Head(path: Annotated[str, Text()], context: Context = INJECTED) -> str:
    """The first letter of a text, as its header says."""
    facts = context.found(path).resolved.facts
    assert isinstance(facts, FirstLetter)
    return facts.letter


class Words:
    """A text on a device."""

    def __init__(self, text: str) -> None:
        self.text = text


@value
@dataclass(frozen=True)
class TextRecipe(Recipe[Words]):
    """Names a text."""

    source: str

    def load(self, loading: Loading) -> Words:
        (file,) = loading.locate(self.source).files
        moment("before loading")
        return Words(file.read_text())


@node
def NameText(path: Annotated[str, Text()], context: Context = INJECTED) -> TextRecipe:
    """Name a text."""
    return TextRecipe(str(context.found(path).digest))


@node
def UseText(recipe: TextRecipe, times: int = 1, context: Context = INJECTED) -> str:
    """Use a text."""
    with context.weights(recipe) as words:
        return words.text * times


def graph_of(type: Any, folder: Path) -> Graph:
    """A graph of one node that reads `a.txt`, with one below it."""
    with Graph() as graph:
        text = type("a.txt", id="read")
        graph.output("text", Upper(UseText(text) if type is NameText else text))
    return replace(graph, path=folder / "graph.json")


def write(file: Path, text: str) -> None:
    """Write a file in place, with the modification time that it had."""
    before = file.stat() if file.exists() else None
    file.write_text(text)
    if before:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


READERS = [ReadText, ReadContent, Head, NameText]
MOMENTS = ["checked", "before reading", "after reading", "before loading", "between"]


@pytest.mark.parametrize("type", READERS)
@pytest.mark.parametrize("name", MOMENTS)
def test_a_file_that_changes_at_any_moment_gives_no_wrong_hit(
    type: Any, name: str, at: Callable[[str, Callable[[], object]], None], tmp_path: Path, engine: Engine
) -> None:
    file, graph = tmp_path / "a.txt", graph_of(type, tmp_path)
    write(file, "old")
    at(name, lambda: write(file, "new"))
    letters = 1 if type is Head else 3
    assert engine.run(graph).outputs["text"] in ("OLD"[:letters], "NEW"[:letters])
    for text in ("old", "new", "old"):
        write(file, text)
        result = engine.run(graph)
        assert result.outputs == {"text": text.upper()[:letters]}
        assert Engine(store=None).run(graph).outputs == result.outputs


@pytest.mark.parametrize("type", READERS)
@pytest.mark.parametrize("name", MOMENTS)
def test_a_file_that_changes_and_changes_back_gives_no_wrong_hit(
    type: Any, name: str, at: Callable[[str, Callable[[], object]], None], tmp_path: Path, engine: Engine
) -> None:
    file, graph = tmp_path / "a.txt", graph_of(type, tmp_path)
    write(file, "old")
    at(name, lambda: write(file, "new"))
    at("after reading", lambda: write(file, "old"))
    at("between", lambda: write(file, "old"))
    engine.run(graph)
    write(file, "old")
    assert engine.run(graph).outputs == {"text": "OLD"[: 1 if type is Head else 3]}


def test_what_changed_while_it_was_read_is_planned_again_and_reported(
    at: Callable[[str, Callable[[], object]], None], tmp_path: Path, engine: Engine
) -> None:
    file, graph = tmp_path / "a.txt", graph_of(ReadText, tmp_path)
    write(file, "old")
    at("before reading", lambda: write(file, "new"))
    heard: list[events.Event] = []
    result = engine.run(graph, listener=heard.append)
    assert [one for one in heard if isinstance(one, events.FileChanged)] == [
        events.FileChanged("read", "ReadText", str(file))
    ]
    assert (result.outputs, result.ran) == ({"text": "NEW"}, ("read", "upper"))
    assert isinstance(heard[-1], events.RunFinished) and heard[-1].status == "done"


def test_a_file_that_changes_each_time_fails_the_node_that_reads_it(tmp_path: Path, engine: Engine) -> None:
    file, graph = tmp_path / "a.txt", graph_of(ReadText, tmp_path)
    write(file, "0")
    count = iter(range(1, 100))
    HOOKS.append(lambda name: write(file, str(next(count))) if name == "before reading" else None)
    try:
        result = engine.execute(engine.plan(graph))
    finally:
        HOOKS.clear()
    (failure,) = result.plain()["failures"]
    assert (failure["node"], failure["code"], next(count)) == ("read", "changed-file", PLANS + 1)
    assert engine.run(graph).ran == ("read", "upper")


@pytest.mark.parametrize("name", ["checked", "before reading", "after reading"])
def test_a_file_that_vanishes_is_a_problem_of_its_input(
    name: str, at: Callable[[str, Callable[[], object]], None], tmp_path: Path, engine: Engine
) -> None:
    file, graph = tmp_path / "a.txt", graph_of(ReadText, tmp_path)
    write(file, "old")
    at(name, file.unlink)
    heard: list[events.Event] = []
    with pytest.raises(GraphError) as caught:
        engine.run(graph, listener=heard.append)
    (problem,) = caught.value.problems
    assert (problem.code, problem.node, problem.input) == ("missing-file", "read", "path")
    assert name == "checked" or isinstance(heard[-1], events.RunFinished)


def test_a_node_that_is_called_at_once_reads_one_state_of_its_file(
    at: Callable[[str, Callable[[], object]], None], tmp_path: Path
) -> None:
    file = tmp_path / "a.txt"
    write(file, "old")
    at("before reading", lambda: write(file, "new"))
    with Engine(store=None, inputs=[tmp_path]) as engine:
        type: Any = ReadText
        assert engine.run_now(type, {"path": "a.txt"}) == "new"


def test_a_module_that_was_loaded_before_its_file_changed_stays_what_it_was(tmp_path: Path, engine: Engine) -> None:
    file, graph = tmp_path / "a.txt", graph_of(NameText, tmp_path)
    write(file, "old")
    engine.run(graph)
    write(file, "new")
    assert engine.run(graph.set("use_text.times", 2)).outputs == {"text": "NEWNEW"}
    write(file, "old")
    assert engine.run(graph.set("use_text.times", 3)).outputs == {"text": "OLDOLDOLD"}


@node
def IsShort(text: str) -> bool:
    """Whether a text is short."""
    moment("decided")
    return len(text) < 3


def test_parts_of_one_run_go_by_one_state_of_a_file(
    at: Callable[[str, Callable[[], object]], None], tmp_path: Path, engine: Engine
) -> None:
    file = tmp_path / "a.txt"
    with Graph() as graph:
        text = ReadText("a.txt")
        graph.output("text", Switch(IsShort(text), then=Joined(text, "!"), otherwise=Joined(text, "?")))
    graph = replace(graph, path=tmp_path / "graph.json")
    write(file, "ab")
    at("decided", lambda: write(file, "abc"))
    assert engine.run(graph).outputs in ({"text": "ab!"}, {"text": "abc?"})
    for content, wanted in (("abc", "abc?"), ("ab", "ab!")):
        write(file, content)
        assert engine.run(graph).outputs == {"text": wanted}
