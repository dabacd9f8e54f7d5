"""Graphs that libraries ship: found by name, with the files that they name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.refusals import refused
from weft.engine import Engine
from weft.engine.shipped_graphs import ShippedGraph, shipped, shipped_graph

CATALOG = Engine(store=None, device="cpu").catalog


def library(folder: Path, **graphs: object) -> dict[str, ShippedGraph]:
    """A library's folder with graph files."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures/lake.png").write_bytes(b"a lake")
    for name, graph in graphs.items():
        (folder / f"{name}.json").write_text(json.dumps(graph, indent=2))
    return {name: ShippedGraph(name, folder / f"{name}.json", folder) for name in graphs}


PAINTED = {
    "$schema": "../schema/graph.schema.json",
    "weft": 1,
    "parameters": {"other": {"sets": ["other.path"], "default": "lake.png"}},
    "nodes": {
        "picture": {"type": "LoadImage", "inputs": {"path": "pictures/lake.png"}},
        "other": {"type": "LoadImage"},
        "mine": {"type": "LoadImage", "inputs": {"path": "mine.png"}},
        "inner": {"type": "graph:inner"},
        "outer": {"type": "file:part.json"},
    },
    "graphs": {"inner": {"nodes": {"picture": {"type": "LoadImage", "inputs": {"path": "inner.png"}}}}},
}


def test_a_graph_has_the_name_of_its_file() -> None:
    assert shipped_graph("text_to_image").path.name == "text_to_image.json"
    assert shipped_graph("sdxl").name == "families/sdxl"
    assert [*shipped()].index("text_to_image") < [*shipped()].index("families/dit")


@pytest.mark.parametrize(("name", "hint"), [("text_to_imag", "text_to_image"), ("sdxk", "families/sdxl")])
def test_an_unknown_name_is_refused_with_the_nearest(name: str, hint: str) -> None:
    with refused("unknown-graph", name, hint.rpartition("/")[2]):
        shipped_graph(name)


def test_the_files_of_a_graph_are_those_that_it_and_its_subgraphs_name(tmp_path: Path) -> None:
    graphs = library(tmp_path, painted=PAINTED, part={"weft": 1, "nodes": {}})
    (tmp_path / "inner.png").write_bytes(b"inner")
    assert {*graphs["painted"].files(CATALOG)} == {"pictures/lake.png", "lake.png", "inner.png", "part.json"}


def test_the_files_of_a_folder_are_those_that_count(tmp_path: Path) -> None:
    listed = {"type": "ListPictures", "inputs": {"folder": "pictures"}}
    one = library(tmp_path, each={"weft": 1, "nodes": {"listed": listed}})["each"]
    (tmp_path / "pictures/notes.txt").write_text("about the lake")
    assert {*one.files(CATALOG)} == {"pictures/lake.png"}
