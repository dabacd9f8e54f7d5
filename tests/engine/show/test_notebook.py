"""What a notebook shows of graphs, plans and results: bundles that parse, and hold what they should."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from weft.engine import Artifact, Engine, Graph, Link, NodeError, node
from weft.engine.graph.graph import Node
from weft.engine.running.result import Result


@node
def Shade(level: int, text: str = "<b> & co") -> Artifact:
    """Paint a pixel."""
    packed = BytesIO()
    Image.new("L", (1, 1), level).save(packed, "PNG")
    return Artifact(packed.getvalue(), "image/png", "shade")


@node
def Twice(of: int) -> int:
    """Double a number."""
    return 2 * of


def shaded() -> Graph:
    with Graph(title="A <shade>", outputs={"double": Link("twice")}) as graph:
        Shade(Twice(21))
    return graph


def parsed(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<body>{html}</body>")


def test_a_graph_is_drawn() -> None:
    bundle = shaded()._repr_mimebundle_(include=None, exclude=None)
    drawing = ElementTree.fromstring(bundle["image/svg+xml"])
    assert drawing.tag.endswith("svg") and "A <shade>" in "".join(drawing.itertext())
    assert bundle["text/plain"] == str(shaded())


def test_a_graph_that_is_too_large_to_draw_is_text() -> None:
    large = Graph(nodes={f"n{number}": Node("Twice") for number in range(2001)})
    assert list(large._repr_mimebundle_()) == ["text/plain"]


def test_a_plan_is_a_table(engine: Engine) -> None:
    plan = engine.plan(shaded())
    rows = parsed(plan._repr_mimebundle_()["text/html"]).findall("table/tbody/tr")
    assert [["".join(cell.itertext()) for cell in row][:3] for row in rows] == [
        ["twice", "Twice", "run"],
        ["shade", "Shade", "run"],
    ]
    assert repr(plan) == "Plan(2 to run)"


def test_a_result_shows_its_pictures(engine: Engine) -> None:
    result = engine.run(shaded())
    shown = parsed(result._repr_mimebundle_()["text/html"])
    (picture,) = shown.findall("figure/img")
    assert picture.attrib["src"].startswith("data:image/png;base64,iVBOR")
    assert "double = 42" in "".join(shown.itertext()) and "double = 42" in str(result)
    assert repr(result).startswith("Result(done: 2 ran, 0 cached in ")


def result_of(paths: tuple[Path, ...], **outputs: Any) -> Result:
    return Result("done", outputs, paths, (), (), (), 0.1)


def test_pictures_that_are_too_many_or_gone_are_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.png").write_bytes(bytes(5_000_000))
    paths = tuple(tmp_path / f"{name}.png" for name in ("gone", "one", "two"))
    shown = parsed(result_of(paths)._repr_mimebundle_()["text/html"])
    assert len(shown.findall("figure")) == 1
    assert all(str(path) in "".join(shown.itertext()) for path in paths)


def test_an_output_that_can_be_seen_is_shown() -> None:
    class Seen:
        def _repr_png_(self) -> bytes:
            return b"png"

    shown = parsed(result_of((), look=Seen())._repr_mimebundle_()["text/html"])
    assert shown.find("figure/img") is not None


def test_failures_are_shown() -> None:
    failed = Result("failed", {}, (), (NodeError("a", "Twice", ValueError("<none>")),), (), (), 0.1)
    assert "ValueError: <none>" in "".join(parsed(failed._repr_mimebundle_()["text/html"]).itertext())


def test_a_notebook_costs_nothing_until_it_asks() -> None:
    code = "import sys, weft.engine; print([name for name in sys.modules if 'weft.engine.d' in name])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "weft.engine.show.notebook" not in run.stdout and "weft.engine.show.draw" not in run.stdout
