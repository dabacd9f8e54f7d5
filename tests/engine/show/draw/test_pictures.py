"""Pictures of graphs: SVG that parses, PNG of the layout's size, frames that do not overlap."""

from __future__ import annotations

import json
from io import BytesIO
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import PIL.Image
import pytest

from weft.engine import Graph, InputError
from weft.engine.graph.document import read
from weft.engine.show.draw import MOST_BOXES, Sketch, sketch, to_picture
from weft.engine.show.draw.placement import MARGIN, fitted, place, text_width
from weft.engine.spec.catalog import Catalog, installed

GRAPHS = sorted((Path(__file__).parents[4] / "graphs").glob("*.json"))
SVG = "{http://www.w3.org/2000/svg}"


def odd() -> Sketch:
    """A graph with unknown types, circles, and text that XML and fonts have trouble with."""
    nodes = {
        "a": {"type": "<&>", "inputs": {"x": {"link": "b"}, "text": '\x07 <"\N{GRINNING FACE}\ufffe' * 30}},
        "b": {"type": "B", "inputs": {"x": {"link": "a.out"}, "self": {"link": "b"}}},
    }
    document = {"weft": 1, "title": "<odd> & long " * 20, "nodes": nodes, "outputs": {"o": {"link": "b"}}}
    return sketch(read(json.dumps(document)), Catalog())


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.stem)
def test_frames_do_not_overlap_and_wires_end_at_sockets(path: Path) -> None:
    layout = place(sketch(Graph.load(path), installed()))
    for one, other in combinations(layout.frames, 2):
        apart_across = one.x + one.width < other.x or other.x + other.width < one.x
        assert apart_across or one.y + one.height < other.y or other.y + other.height < one.y
    sockets = {place for frame in layout.frames for _, place, _ in frame.sockets()}
    assert all({curve.points[0], curve.points[-1]} <= sockets for curve in layout.curves)


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.stem)
def test_everything_is_on_the_paper(path: Path) -> None:
    layout = place(sketch(Graph.load(path), installed()))
    points = [point for curve in layout.curves for point in curve.points]
    points += [(frame.x + frame.width, frame.y + frame.height) for frame in layout.frames]
    assert all(MARGIN <= x <= layout.width - MARGIN for x, _ in points)
    assert all(MARGIN <= y <= layout.height - MARGIN for _, y in points)


def test_svg_is_xml_with_the_graphs_words() -> None:
    root = ElementTree.fromstring(to_picture(odd(), "odd.svg"))
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert {"a", "<&>", "b", "out", "o", "output"} <= set(words)
    assert len(list(root.iter(f"{SVG}path"))) == 4 + 2  # wires, and the heads of the two nodes


def test_png_is_twice_the_layouts_size() -> None:
    layout = place(odd())
    picture = PIL.Image.open(BytesIO(to_picture(odd(), "ODD.PNG")))
    assert picture.size == (round(layout.width * 2), round(layout.height * 2))
    assert len(picture.getcolors(2**20) or ()) > 10


def test_a_long_graph_is_drawn_smaller() -> None:
    nodes = {f"n{n}": {"type": "T", "inputs": {"x": {"link": f"n{n - 1}"}} if n else {}} for n in range(400)}
    chain = sketch(read(json.dumps({"weft": 1, "nodes": nodes})), Catalog())
    width, height = PIL.Image.open(BytesIO(to_picture(chain, "chain.png"))).size
    assert width * height <= 20_000_100 and width < 2 * place(chain).width


def test_an_empty_graph_is_empty_paper() -> None:
    empty = sketch(read('{"weft": 1, "nodes": {}}'), Catalog())
    assert to_picture(empty, "empty.svg").startswith(b"<svg") and to_picture(empty, "empty.png").startswith(b"\x89PNG")


def test_other_endings_and_huge_graphs_are_refused() -> None:
    with pytest.raises(InputError) as ending:
        to_picture(odd(), "odd.pdf")
    nodes = {f"n{n}": {"type": "T"} for n in range(MOST_BOXES + 1)}
    with pytest.raises(InputError) as size:
        to_picture(sketch(read(json.dumps({"weft": 1, "nodes": nodes})), Catalog()), "huge.svg")
    assert (ending.value.code, size.value.code) == ("unknown-picture-format", "too-many-nodes")


def test_text_is_cut_to_its_room() -> None:
    assert fitted("a text that fits", text_width("a text that fits", 12), 12) == "a text that fits"
    cut = fitted("a text that does not fit", 60, 12)
    assert cut.endswith("...") and text_width(cut, 12) <= 60
