"""Graphs by what names them: themselves, a graph file, a picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.engine import Graph, GraphError, Node
from weft.engine.graph_files import as_graph

GRAPH = Graph(title="One", nodes={"one": Node("Collect", {"items": (1,)})})


def test_a_graph_is_itself() -> None:
    assert as_graph(GRAPH, 0) is GRAPH


def test_a_path_is_read_as_a_graph_file(tmp_path: Path) -> None:
    GRAPH.save(tmp_path / "one.json")
    assert as_graph(str(tmp_path / "one.json"), 10_000) == GRAPH
    with pytest.raises(GraphError) as raised:
        as_graph(tmp_path / "one.json", 10)
    assert raised.value.problems[0].code == "unreadable-file"


def test_a_picture_without_a_graph_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (1, 1)).save(tmp_path / "plain.png")
    with pytest.raises(GraphError) as raised:
        as_graph(tmp_path / "plain.png", 10_000)
    assert raised.value.problems[0].file == str(tmp_path / "plain.png")


def test_a_graph_is_loaded_from_the_picture_that_carries_it(tmp_path: Path) -> None:
    from io import BytesIO

    from PIL import Image

    from weft.engine.graph.document import write
    from weft.engine.picture_text import GRAPH as KEY
    from weft.engine.picture_text import with_texts

    for format in ("png", "jpeg", "webp"):
        packed = BytesIO()
        Image.new("RGB", (1, 1)).save(packed, format)
        (tmp_path / f"picture.{format}").write_bytes(with_texts(packed.getvalue(), {KEY: write(GRAPH).decode()}))
        assert Graph.load(tmp_path / f"picture.{format}") == GRAPH


def test_a_name_is_one_of_a_graph_that_ships_where_no_file_has_it() -> None:
    assert as_graph("text_to_image", 100_000).title == "A landscape from text"
    with pytest.raises(GraphError) as raised:
        as_graph("text_to_imag", 100_000)
    assert "`text_to_image`" in raised.value.problems[0].hint
