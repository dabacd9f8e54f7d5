"""A session of 40 edits of one graph: what runs is the least that can, and the pictures are those without a store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.nodes.conftest import SIZE
from weft.engine import Engine, Graph, Link, Node, named
from weft.nodes import (
    ApplyControlNet,
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadControlNet,
    LoadImage,
    SaveImage,
    TextEncode,
    VAEDecode,
)

EDITS: tuple[tuple[str, Any], ...] = (
    ("title", "A house"),
    ("positive.text", "a blue house by the lake"),
    ("undo", 1),
    ("first.seed", 8),
    ("second.seed", 9),
    ("guide.scale", 7.5),
    ("guide.scale", 4.0),
    ("save.name", "house"),
    ("layout", {"first": [10, 20], "second": [30, 20]}),
    ("positive.text", "  A Blue HOUSE by the lake "),
    ("positive.text", "a blue house by the lake"),
    ("second.denoise", 1.0),
    ("second.steps", 3),
    ("undo", 2),
    ("control.strength", 0.4),
    ("ids", ("second", "refine")),
    ("refine.seed", 10),
    ("control.strength", 0.8),
    ("negative.text", "day"),
    ("negative.text", "DAY"),
    ("negative.text", "night"),
    ("picture.path", "ramp.png"),
    ("control.end", 0.5),
    ("undo", 1),
    ("picture.path", "stripes.png"),
    ("notes", "The one to keep"),
    ("first.steps", 2),
    ("first.sampler", "euler"),
    ("undo", 1),
    ("guide.positive", Link("positive")),
    ("guide.negative", Link("negative")),
    ("undo", 2),
    ("decode.tile", 64),
    ("decode.tile", 0),
    ("empty.batch_size", 2),
    ("empty.batch_size", 1),
    ("ids", ("positive", "wanted")),
    ("save.format", "webp"),
    ("decode.latent", Link("first")),
    ("undo", 2),
)
"""A node's input, a member of the graph, an id and its new one, or how many steps to go back; and its new value."""


def first_graph() -> Graph:
    """Text to image under a ControlNet, and a second pass over what comes out."""
    with Graph() as graph:
        checkpoint = named("checkpoint", LoadCheckpoint)("clip")
        prompt = named("positive", TextEncode)(checkpoint.text_encoder, "a red house by the lake")
        against = named("negative", TextEncode)(checkpoint.text_encoder, "night")
        net, picture = named("net", LoadControlNet)("edges"), named("picture", LoadImage)("stripes.png")
        positive, negative = named("control", ApplyControlNet)(prompt, against, net, picture, strength=0.8)
        guide = named("guide", CFGGuide)(checkpoint.model, positive, negative, scale=4.0)
        empty = named("empty", EmptyLatent)(SIZE, SIZE, 1)
        first = named("first", KSampler)(guide, empty, seed=1, steps=3)
        second = named("second", KSampler)(guide, first, seed=2, steps=4, denoise=0.5)
        named("save", SaveImage)(named("decode", VAEDecode)(checkpoint.vae, second, tile=0))
    return graph


def edited(history: Sequence[Graph], target: str, value: Any) -> Graph:
    """The graph after one edit."""
    if target == "undo":
        return history[-1 - int(value)]
    if target == "ids":
        return renamed(history[-1], *value)
    if "." in target:
        return history[-1].set(target, value)
    return replace(history[-1], **{target: value})


def renamed(graph: Graph, old: str, new: str) -> Graph:
    """The graph with another id for a node."""

    def relinked(given: Any) -> Any:
        return Link(new, given.output) if isinstance(given, Link) and given.node == old else given

    nodes = {
        new if id == old else id: replace(one, inputs={name: relinked(given) for name, given in one.inputs.items()})
        for id, one in graph.nodes.items()
    }
    return replace(graph, nodes=nodes)


def needed(graph: Graph, id: str = "save") -> dict[str, tuple[Link, ...]]:
    """The links into a node and into each node above it."""
    links = tuple(given for given in graph.nodes[id].inputs.values() if isinstance(given, Link))
    above: dict[str, tuple[Link, ...]] = {}
    for link in links:
        above |= needed(graph, link.node)
    return {**above, id: links}


def content(item: Any) -> Any:
    """All that a value is, to compare."""
    if isinstance(item, torch.Tensor):
        return item.dtype, tuple(item.shape), item.numpy().tobytes()
    if is_dataclass(item):
        return type(item), *(content(getattr(item, one.name)) for one in fields(item))
    if isinstance(item, (list, tuple)):
        return tuple(map(content, item))
    return repr(item)


@dataclass
class Model:
    """What is computed without a store, and the part that was not computed before.

    Args:
        engine: an engine without a store.
        known: the calls so far, by type, literals and the values that arrive.
    """

    engine: Engine
    known: set[Any] = field(default_factory=set)

    def run(self, graph: Graph) -> tuple[list[str], list[bytes]]:
        """The nodes whose calls are new, and the pictures."""
        nodes = needed(graph)
        outputs = {str(link): link for links in nodes.values() for link in links}
        result = self.engine.run(replace(graph, outputs=outputs))
        calls = {id: call_of(graph.nodes[id], result.outputs) for id in nodes}
        fresh = [id for id, call in calls.items() if call not in self.known]
        self.known.update(calls.values())
        return sorted(fresh), files(result.paths)


def call_of(one: Node, values: Mapping[str, Any]) -> Any:
    """A node's type with its literals and the values that arrive, to compare."""
    inputs = sorted(one.inputs.items())
    return one.type, *((name, content(values[str(item)]) if isinstance(item, Link) else item) for name, item in inputs)


def files(paths: Iterable[Path]) -> list[bytes]:
    """The bytes of files; without metadata equal pictures are equal files."""
    return [path.read_bytes() for path in paths]


@pytest.fixture
def opened(models: Path, pictures: Path, tmp_path: Path) -> Callable[..., Engine]:
    """An engine that leaves no metadata in pictures."""
    return partial(Engine, device="cpu", models=[models], inputs=[pictures], output=tmp_path, metadata=False)


@pytest.mark.slow
def test_a_session_of_edits_runs_the_least_that_it_can(opened: Callable[..., Engine], tmp_path: Path) -> None:
    model = Model(opened(store=None))
    history = [first_graph()]
    for number, (target, value) in enumerate((("title", "A house by the lake"), *EDITS)):
        if number % 10 == 0:
            engine = opened(store=tmp_path / "store")
        history.append(edited(history, target, value))
        result = engine.run(history[-1])
        assert (sorted(result.ran), files(result.paths)) == model.run(history[-1]), f"edit {number}: {target}"
    assert number == 40


@pytest.mark.wide
@pytest.mark.parametrize(("target", "new", "ran"), [("ids", ("second", "refine"), 0), ("save.name", "house", 1)])
def test_a_session_goes_on_in_another_process(
    target: str, new: Any, ran: int, opened: Callable[..., Engine], models: Path, pictures: Path, tmp_path: Path
) -> None:
    graph = first_graph()
    (picture,) = opened(store=tmp_path / "store").run(graph).paths
    edited([graph], target, new).save(tmp_path / "graph.json")
    places = ("--store", "store", "--models", str(models), "--input", str(pictures), "--out", "other")
    command = ("run", "graph.json", *places, "--device", "cpu", "--no-metadata", "--json")
    program = (sys.executable, "-c", "from weft.engine.cli import main; main()", *command)
    ended = subprocess.run(program, cwd=tmp_path, capture_output=True, check=True)
    *_, written, finished = map(json.loads, ended.stdout.splitlines())
    assert finished["ran"] == ran
    assert (tmp_path / written["path"]).read_bytes() == picture.read_bytes()
