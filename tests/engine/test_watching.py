"""A watched graph runs again at every change of it or of what it names; a broken edit does not end it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Annotated, Any

import pytest

from weft.engine import INJECTED, Context, Engine, Graph, GraphError, InputFile, Result, WeftError, node
from weft.engine.spec.catalog import Catalog
from weft.engine.watching import Watch

Heard = Queue[Result | WeftError]


@node
def Length(path: Annotated[str, InputFile()], *, context: Context = INJECTED) -> int:
    """The length of a file."""
    return context.found(path).resolved.files[0].stat().st_size


@node
def Wait(seconds: float, *, context: Context = INJECTED) -> float:
    """Wait, looking at cancel."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        context.progress(0, 1)
        time.sleep(0.01)
    return seconds


TYPES: dict[str, Any] = {"Length": Length, "Wait": Wait}


def save(file: Path, type: str, **inputs: object) -> None:
    """Write a graph of one node, as an editor does: a new file, renamed into place."""
    graph = {"weft": 1, "nodes": {"one": {"type": type, "inputs": inputs}}, "outputs": {"out": {"link": "one"}}}
    written = file.with_suffix(".new")
    written.write_text(json.dumps(graph))
    written.replace(file)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Callable[[], Result | WeftError]]:
    """Watches graph.json in a thread; gives what it says next."""
    engine = Engine(store=None, device="cpu")
    engine.catalog = Catalog(TYPES)
    path, heard, stop = tmp_path / "graph.json", Heard(), threading.Event()
    watch = Watch(engine, path, lambda: Graph.load(path), done=heard.put, failed=heard.put)
    thread = threading.Thread(target=watch.until, args=(stop,))
    (tmp_path / "text.txt").write_text("abc")
    save(path, "Length", path="text.txt")
    thread.start()
    yield lambda: heard.get(timeout=20)
    stop.set()
    thread.join(20)


def outputs(result: Result | WeftError) -> dict[str, Any]:
    """The outputs of a run."""
    assert isinstance(result, Result)
    return dict(result.outputs)


def test_it_runs_again_at_a_save_and_when_a_file_changes(
    watched: Callable[[], Result | WeftError], tmp_path: Path
) -> None:
    assert outputs(watched()) == {"out": 3}
    (tmp_path / "text.txt").write_text("abcde")
    assert outputs(watched()) == {"out": 5}
    save(tmp_path / "graph.json", "Wait", seconds=0.0)
    assert outputs(watched()) == {"out": 0.0}


NODE = "from weft.engine import node\nimport helper\n\n@node\ndef Given(x: int) -> int:\n    return helper.f(x)\n"


def test_it_runs_again_when_a_module_changes_that_a_node_file_imports(tmp_path: Path) -> None:
    (tmp_path / "given.py").write_text(NODE)
    (tmp_path / "helper.py").write_text("def f(x): return x + 1")
    engine = Engine(store=None, device="cpu", nodes=[tmp_path / "given.py"])
    path, heard, stop = tmp_path / "graph.json", Heard(), threading.Event()
    save(path, "Given", x=1)
    thread = threading.Thread(
        target=Watch(engine, path, lambda: Graph.load(path), done=heard.put, failed=heard.put).until, args=(stop,)
    )
    thread.start()
    try:
        for text, wanted in (("", 2), ("def f(x): return x + 2", 3), ("def f(:", None), ("def f(x): return x + 4", 5)):
            if text:
                (tmp_path / "helper.py").write_text(text)
            result = heard.get(timeout=20)
            assert isinstance(result, WeftError) if wanted is None else outputs(result) == {"out": wanted}
    finally:
        stop.set()
        thread.join(20)


def test_a_broken_edit_is_reported_and_it_goes_on(watched: Callable[[], Result | WeftError], tmp_path: Path) -> None:
    watched()
    save(tmp_path / "graph.json", "Length", path="none.txt")
    assert isinstance(watched(), GraphError)
    save(tmp_path / "graph.json", "Length", path="text.txt")
    assert outputs(watched()) == {"out": 3}


def test_a_run_that_is_out_of_date_is_cancelled(watched: Callable[[], Result | WeftError], tmp_path: Path) -> None:
    watched()
    save(tmp_path / "graph.json", "Wait", seconds=100.0)
    time.sleep(0.5)
    save(tmp_path / "graph.json", "Length", path="text.txt")
    assert outputs(watched()) == {"out": 3}
