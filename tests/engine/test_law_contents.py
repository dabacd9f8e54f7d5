"""The law: what is kept under a key is what the key says, whenever files change.

A history changes files at random moments of plans and runs, also inside of nodes that read them, in `run`, `watch` and
the farm. Afterwards each state that the files had is restored, and the store of the history must give for it what an
engine without a store gives.

The suite runs a few histories; all 500: `pytest -m slow tests/engine/test_law_contents.py`.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import PIL.Image
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.engine.moments import HOOKS
from weft.engine import Engine, Graph, WeftError
from weft.engine.farm import load
from weft.engine.farm.merge.merged import planned
from weft.engine.farm.submit import submit
from weft.engine.farm.work.job_facts import Setup
from weft.engine.farm.work.publishing import published
from weft.engine.farm.work.worker import Worker
from weft.engine.graph import document
from weft.engine.watching import Watch

NODES = '''"""Nodes that read files in every way, and have moments in which a test changes them."""

from dataclasses import dataclass
from io import BytesIO
from typing import Annotated

import helper
from tests.engine.moments import moment
from weft.engine import (
    INJECTED, Artifact, Context, InputError, InputFile, Recipe, Resolved, Resource, find, loader_for, node, value,
)


class Probe:
    """Whether a file can be used: a moment of the check."""

    def __call__(self, path):
        path.read_bytes()
        moment("checked")


@node(lane="io")
def ReadPath(path: Annotated[str, InputFile(probe=Probe())], context: Context = INJECTED) -> str:
    """A text, by its path."""
    (file,) = context.found(path).resolved.files
    moment("before reading")
    text = file.read_text()
    moment("after reading")
    return text


@node
def ReadBytes(path: Annotated[str, InputFile()], context: Context = INJECTED) -> str:
    """A text, by its bytes."""
    moment("before reading")
    return context.content(path).decode()


@dataclass(frozen=True)
class Letters:
    """What the head of texts says."""

    first: str


class Texts(Resource):
    """A file or a folder of texts; their first letters are its header."""

    def resolve(self, text, places):
        root = find(text, places.files)
        if root is None:
            raise InputError(f"no {text}", "", "missing-file")
        files = tuple(sorted(root.iterdir())) if root.is_dir() else (root,)
        facts = Letters("".join(file.read_text()[:1] for file in files))
        moment("checked")
        return Resolved(text, root, files, facts=facts)


@node
def Head(path: Annotated[str, Texts()], context: Context = INJECTED) -> str:
    """The first letters, as the header has them."""
    moment("before reading")
    return context.found(path).resolved.facts.first


@value
@dataclass(frozen=True)
class LawRecipe(Recipe[object]):
    """Names texts."""

    source: str


class Loaded:
    """Texts on a device."""

    def __init__(self, text):
        self.text = text


@loader_for(LawRecipe)
def _loaded(recipe, loading):
    found = loading.locate(recipe.source)
    moment("before loading")
    text = found.facts.first + "".join(file.read_text() for file in found.files)
    moment("after loading")
    return Loaded(text)


@node
def NameTexts(path: Annotated[str, Texts()], context: Context = INJECTED) -> LawRecipe:
    """Name texts."""
    return LawRecipe(str(context.found(path).digest))


@node
def UseTexts(recipe: LawRecipe, context: Context = INJECTED) -> str:
    """Use texts."""
    with context.weights(recipe) as loaded:
        moment("between")
        return loaded.text


@node
def Helped(text: str) -> str:
    """A text, as a module next to this file has it."""
    from late import ending
    moment("between")
    return helper.changed(text) + ending


@node
def IsFirst(text: str) -> bool:
    """Whether a text begins as the first state does."""
    moment("between")
    return text.startswith("0")


@node
def Join(texts: list[str]) -> str:
    """All texts."""
    return ",".join(texts)


@node
def Keep(text: str, seed: int = 0) -> Artifact:
    """A picture whose pixels are a text."""
    from PIL import Image

    packed = BytesIO()
    Image.frombytes("L", (len(text), 1), text.encode()).save(packed, "PNG")
    return Artifact(packed.getvalue(), "image/png", "law")
'''


def link(id: str) -> dict[str, str]:
    return {"link": id}


def node(type: str, **inputs: Any) -> dict[str, Any]:
    return {"type": type, "inputs": inputs}


GRAPH = {
    "weft": 1,
    "nodes": {
        "path": node("ReadPath", path="a.txt"),
        "bytes": node("ReadBytes", path="b.txt"),
        "link": node("ReadPath", path="link.txt"),
        "head": node("Head", path="b.txt"),
        "name": node("NameTexts", path="model"),
        "use": node("UseTexts", recipe=link("name")),
        "inner": node("file:inner.json"),
        "first": node("IsFirst", text=link("path")),
        "picked": node("Switch", condition=link("first"), then=link("bytes"), otherwise=link("head")),
        "helped": node("Helped", text=link("picked")),
        "join": node("Join", texts=[link(one) for one in ("path", "link", "head", "use", "inner", "helped")]),
        "keep": node("Keep", text=link("join")),
    },
    "outputs": {"text": link("join")},
}
INNER = {"weft": 1, "nodes": {"one": node("Join", texts=["X"])}, "outputs": {"text": link("one")}}

FILES: Mapping[str, Callable[[int], str]] = {
    "a.txt": "{0}aaa".format,
    "b.txt": "{0}bbb".format,
    "model/one.txt": "{0}ccc".format,
    "inner.json": lambda state: json.dumps(INNER).replace("X", f"{state}xxx"),
    "helper.py": "def changed(text): return text + '{0}yyy'".format,
}
"""The files of a history, each with its content by state; contents have equal sizes."""

STATES = range(2)

State = tuple[int, ...]
"""A state of each file."""


def written(file: Path, text: str) -> None:
    file.write_text(text)


def restored(file: Path, text: str) -> None:
    """Written in place, with the modification time of before."""
    before = file.stat() if file.exists() else None
    file.write_text(text)
    if before:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(file: Path, text: str) -> None:
    """Renamed over, with a modification time that every file has."""
    handle, name = tempfile.mkstemp()
    os.write(handle, text.encode())
    os.close(handle)
    os.utime(name, (1_700_000_000, 1_700_000_000))
    Path(name).replace(file)


def gone(file: Path, text: str) -> None:
    """Not there, until it is written again."""
    file.unlink(missing_ok=True)


WAYS = (written, restored, replaced, gone)


ROOT = Path(tempfile.gettempdir()) / f"weft-histories-{os.getpid()}"


class Place:
    """A folder with the files, the graph, a job over it and a store."""

    def __init__(self) -> None:
        self.folder = ROOT  # one for all histories, since a value class belongs to one file
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.store, self.out = self.folder / "store", self.folder / "out"
        (self.folder / "model").mkdir()
        (self.folder / "nodes.py").write_text(NODES)
        (self.folder / "late.py").write_text("ending = '!'")
        (self.folder / "graph.json").write_text(json.dumps(GRAPH))
        sweep = {"weft_job": 1, "graph": "graph.json", "sweep": {"keep.seed": [0]}, "name": "{key:12}", "retries": 0}
        (self.folder / "job.json").write_text(json.dumps(sweep))
        self.restore((0,) * len(FILES), "a.txt")

    def restore(self, state: State, target: str) -> None:
        """Bring all files into a state, and the link to where it leads then."""
        for name, one in zip(FILES, state, strict=True):
            file = self.folder / name
            if not file.exists() or file.read_text() != FILES[name](one):
                self.set(name, one)
        self.relink(target)

    def set(self, name: str, state: int, way: Callable[[Path, str], None] = written) -> None:
        """Change a file."""
        way(self.folder / name, FILES[name](state))

    def relink(self, name: str) -> None:
        """Let the link lead to another file."""
        (self.folder / "link.txt").unlink(missing_ok=True)
        (self.folder / "link.txt").symlink_to(name)

    def engine(self, store: Path | None) -> Engine:
        """An engine as another process has it."""
        return Engine(store=store, output=self.folder / "output", nodes=[self.folder / "nodes.py"], device="cpu")

    def graph(self) -> Graph:
        """The graph, read now."""
        return document.load(self.folder / "graph.json")

    def text(self, store: Path | None) -> str:
        """The output that an engine over a store gives now."""
        with self.engine(store) as engine:
            return str(engine.run(self.graph()).outputs["text"])

    @property
    def setup(self) -> Setup:
        """What the farm's engines are made with."""
        return Setup(str(self.store), device="cpu", nodes=(str(self.folder / "nodes.py"),))

    def ids(self) -> Sequence[str]:
        """The ids of the job's items for the files as they are now."""
        with replace(self.setup, store="").engine(store=None, inputs=[self.folder]) as engine:
            return planned(load(self.folder / "job.json"), engine).ids


EXPECTED: dict[tuple[State, str], tuple[str, Sequence[str]]] = {}
"""What an engine without a store gives in each state, and the ids of the job's items then."""


def expected(place: Place, state: State, target: str) -> tuple[str, Sequence[str]]:
    """The same; the files of `place` are in this state."""
    if (state, target) not in EXPECTED:
        EXPECTED[state, target] = place.text(None), place.ids()
    return EXPECTED[state, target]


names, states, ways = st.sampled_from([*FILES]), st.sampled_from(STATES), st.sampled_from(WAYS)
moments = st.sampled_from(["checked", "before reading", "after reading", "before loading", "after loading", "between"])


class Histories(RuleBasedStateMachine):
    """Changes of files between and within plans, runs, watches and jobs over one store."""

    watches = False

    def __init__(self) -> None:
        super().__init__()
        self.place = Place()
        self.reached = {name: {0} for name in FILES}
        self.targets = {"a.txt"}
        self.waiting: dict[tuple[str, int], Callable[[], None]] = {}
        self.counts: Counter[str] = Counter()
        self.engine = self.place.engine(self.place.store)
        HOOKS.append(self._at)

    def _at(self, moment: str) -> None:
        self.counts[moment] += 1
        if work := self.waiting.pop((moment, self.counts[moment]), None):
            work()

    def _set(self, name: str, state: int, way: Callable[[Path, str], None]) -> None:
        self.reached[name].add(state)
        self.place.set(name, state, way)

    @rule(name=names, state=states, way=ways)
    def change(self, name: str, state: int, way: Callable[[Path, str], None]) -> None:
        self._set(name, state, way)

    @rule(other=st.sampled_from(["a.txt", "b.txt"]))
    def relink(self, other: str) -> None:
        self.targets.add(other)
        self.place.relink(other)

    @rule(moment=moments, count=st.integers(1, 4), name=names, state=states, way=ways)
    def change_later(self, moment: str, count: int, name: str, state: int, way: Callable[[Path, str], None]) -> None:
        self.waiting[moment, self.counts[moment] + count] = partial(self._set, name, state, way)

    @rule(moment=moments, count=st.integers(1, 4))
    def change_and_change_back_later(self, moment: str, count: int) -> None:
        def work() -> None:
            self._set("a.txt", 1, restored)
            self.waiting["after reading", self.counts["after reading"] + 1] = partial(self._set, "a.txt", 0, restored)

        self.waiting[moment, self.counts[moment] + count] = work

    @rule()
    def run(self) -> None:
        with suppress(WeftError):
            self.engine.run(self.place.graph())

    @rule()
    def run_in_another_engine(self) -> None:
        with suppress(WeftError):
            self.place.text(self.place.store)

    @rule(name=names, state=states, way=ways)
    def change_between_plan_and_run(self, name: str, state: int, way: Callable[[Path, str], None]) -> None:
        with suppress(WeftError):
            plan = self.engine.plan(self.place.graph())
            self._set(name, state, way)
            self.engine.execute(plan)

    @rule()
    def read_nodes_again(self) -> None:
        with suppress(WeftError):
            self.engine.reload_nodes()

    @rule(name=names, state=states, way=ways)
    def work_at_a_job(self, name: str, state: int, way: Callable[[Path, str], None]) -> None:
        with suppress(WeftError):
            submit(load(self.place.folder / "job.json"), self.place.out, self.place.setup)
            self._set(name, state, way)
            Worker(self.place.out).work()

    @precondition(lambda self: self.watches)
    @rule(name=names, state=states)
    def watch(self, name: str, state: int) -> None:
        stop, heard = threading.Event(), SimpleQueue[object]()
        watch = Watch(self.engine, self.place.folder / "graph.json", self.place.graph, heard.put, heard.put)
        thread = threading.Thread(target=watch.until, args=(stop,))
        thread.start()
        heard.get(timeout=20)
        self._set(name, state, restored)
        time.sleep(0.7)
        stop.set()
        thread.join(20)

    def teardown(self) -> None:
        HOOKS.remove(self._at)
        try:
            helper = -1
            texts: dict[str, str] = {}
            items = {one["id"]: one for one in published(self.place.out)}
            for state in sorted(itertools.product(*self.reached.values()), key=lambda state: state[::-1]):
                for target in self.targets:
                    self.place.restore(state, target)
                    wanted, ids = expected(self.place, state, target)
                    if state[-1] != helper:  # its module is read by a new engine only
                        helper, engine = state[-1], self.place.engine(self.place.store)
                    found = engine.run(self.place.graph()).outputs["text"]
                    assert found == wanted, f"a wrong hit in {state}, {target}"
                    texts |= dict.fromkeys(ids, wanted)
            for id, item in items.items():
                (file,) = item["files"]
                pixels = PIL.Image.open(self.place.out / file["path"]).tobytes()
                assert texts.get(id) == pixels.decode(), "an item is published under an id that is not its own"
        finally:
            self.engine.close()
            shutil.rmtree(self.place.folder)


class WatchedHistories(Histories):
    """With watches too, which take a second each."""

    watches = True


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def histories(machine: type[Histories], count: int) -> None:
    """Try so many histories."""
    found = settings(max_examples=count, stateful_step_count=8, database=None, suppress_health_check=QUIET)
    run_state_machine_as_test(machine, settings=found)


def test_no_history_gives_a_wrong_hit() -> None:
    histories(Histories, 3)


@pytest.mark.slow
def test_no_history_of_many_gives_a_wrong_hit() -> None:
    histories(Histories, 440)


@pytest.mark.slow
def test_no_watched_history_gives_a_wrong_hit() -> None:
    histories(WatchedHistories, 60)
