"""Artifacts to files: inside the folder, numbered, never over something, the same bytes once."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from tests.refusals import refused
from weft.engine import Artifact, Engine, Graph, events, name_fault, named, node, png
from weft.engine.graph_files import as_graph
from weft.engine.picture_text import GRAPH, RUN, carried, texts_of, with_texts
from weft.engine.planning.planner import Step
from weft.engine.running.delivery import Folder


@node
def Write(text: str, name: str = "text", media_type: str = "application/json") -> Artifact:
    """A sink."""
    return Artifact(text.encode(), media_type, name)


@node
def Paint(level: int, name: str = "grey", format: str = "png", count: int = 2) -> list[Artifact]:
    """A sink with two pictures."""
    stream = io.BytesIO()
    Image.new("L", (2, 2), level).save(stream, format)
    return [Artifact(stream.getvalue(), f"image/{format}", f"{name}/{n}") for n in range(count)]


def run_text(path: Path) -> dict[str, object]:
    """What a picture tells of its run."""
    with path.open("rb") as file:
        found: dict[str, object] = json.loads(texts_of(file, 10**6)["run"])
    return found


@pytest.fixture
def step(engine: Engine) -> Step:
    """A step that delivers."""
    with Graph() as graph:
        Write("x")
    return engine.plan(graph).steps[0]


GOOD = ("a", "a/b", "portrait 2", "ä", "a.b", "a" * 200, ".hidden")
BAD = ("", " ", "..", "../a", "a/../../b", "/etc/a", "a//b", "a/", "./a", "C:/a", "a\\b", "a\0", "nul", "con.x", "a.")


@pytest.mark.parametrize("name", GOOD)
def test_names_that_stay_inside(name: str, step: Step, tmp_path: Path) -> None:
    delivered = Folder(tmp_path / "out")(Artifact(b"x", "image/webp", name), step)
    assert Path(delivered.path).resolve().is_relative_to(tmp_path / "out")
    assert Path(delivered.path).name == f"{name.rsplit('/', 1)[-1]}_0001.webp" and delivered.new


@pytest.mark.parametrize("name", [*BAD, "a ", "a" * 201, "a*b", "a\nb"])
def test_names_that_do_not(name: str, step: Step, tmp_path: Path) -> None:
    assert name_fault(name)
    with refused("malformed-path"):
        Folder(tmp_path / "out")(Artifact(b"x", "image/webp", name), step)
    assert not [*tmp_path.glob("**/*.webp")]


def test_a_link_out_of_the_folder_is_not_followed(step: Step, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path)
    with refused("outside-folders", "sub/a"):
        Folder(tmp_path / "out")(Artifact(b"x", "image/webp", "sub/a"), step)


def test_files_are_numbered_and_nothing_is_overwritten(step: Step, tmp_path: Path) -> None:
    (tmp_path / "a_0007.webp").write_bytes(b"mine")
    (tmp_path / "ab_0099.webp").write_bytes(b"another's")
    paths = [Folder(tmp_path)(Artifact(data, "image/webp", "a"), step).path for data in (b"1", b"2", b"1")]
    assert [Path(path).name for path in paths] == ["a_0008.webp", "a_0009.webp", "a_0008.webp"]
    assert (tmp_path / "a_0007.webp").read_bytes() == b"mine"


def test_deliveries_at_once_take_numbers_of_their_own(step: Step, tmp_path: Path) -> None:
    artifacts = [Artifact(str(n).encode(), "image/webp", "a") for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        paths = [one.path for one in pool.map(lambda one: Folder(tmp_path)(one, step), artifacts)]
    assert len(set(paths)) == 40 == len([*tmp_path.iterdir()])
    assert [Path(path).read_bytes() for path in paths] == [one.data for one in artifacts]


@pytest.mark.parametrize(("format", "ending"), [("png", ".png"), ("jpeg", ".jpg"), ("webp", ".webp")])
def test_a_picture_carries_its_graph_in_every_format(format: str, ending: str, engine: Engine) -> None:
    with Graph(title="Two greys") as graph:
        Paint(5, format=format)
    paths = engine.run(graph).paths
    found = carried(paths[0])
    assert [path.name for path in paths] == [f"0_0001{ending}", f"1_0001{ending}"] and found is not None
    assert json.loads(found.graph)["nodes"]["paint"]["inputs"]["level"] == 5
    assert as_graph(paths[0], 10**6).nodes == graph.nodes


def test_pictures_of_one_node_know_which_of_them_they_are(engine: Engine) -> None:
    with Graph() as graph:
        Paint(5, "several", count=3)
        named("single", Paint)(5, "single", count=1)
    texts = [run_text(path) for path in engine.run(graph).paths]
    assert [(text["node"], text.get("item")) for text in texts] == [
        ("paint", 0),
        ("paint", 1),
        ("paint", 2),
        ("single", None),
    ]


def test_a_graph_larger_than_the_limit_is_not_read_from_a_picture(engine: Engine) -> None:
    with Graph(title="x" * 5000) as graph:
        Paint(5)
    (path, _) = engine.run(graph).paths
    assert carried(path, 1000) is None


@pytest.mark.parametrize("run", ["", "[]", '{"contents": 1}', '{"contents": {"a": "../b", "c": 3}}', "{"])
def test_what_a_picture_says_of_files_is_not_trusted(run: str, tmp_path: Path) -> None:
    packed = io.BytesIO()
    Image.new("L", (1, 1)).save(packed, "PNG")
    (tmp_path / "a.png").write_bytes(png.with_text(packed.getvalue(), {"weft": "{}", "weft:run": run}))
    found = carried(tmp_path / "a.png")
    assert found is not None and found.contents == {}


def test_a_repeated_run_writes_nothing_new(engine: Engine) -> None:
    with Graph() as graph:
        Paint(5)
    first, second = engine.run(graph), engine.run(graph)
    assert first.paths == second.paths and second.cached == ("paint",)


@node
def Draws(level: int, kind: str = "PNG", name: str = "a") -> list[Artifact]:
    """A sink with pictures of some kind."""
    drawn = []
    for number in range(2):
        stream = io.BytesIO()
        Image.new("RGB", (8, 8), (level, number, 0)).save(stream, kind)
        drawn.append(Artifact(stream.getvalue(), f"image/{kind.lower()}", name))
    return drawn


def drawings(level: int, other: int, kind: str, title: str = "") -> Graph:
    """Two sinks of one name each."""
    with Graph(title=title) as graph:
        named("one", Draws)(level, kind, "one")
        named("other", Draws)(other, kind, "other")
    return graph


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_unchanged_sink_is_not_written_again_where_another_part_changed(kind: str, engine: Engine) -> None:
    heard: list[events.Event] = []
    first = engine.run(drawings(1, 1, kind)).paths
    second = engine.run(drawings(1, 2, kind, "Another"), listener=heard.append).paths
    assert second[:2] == first[:2] and not {*second[2:]} & {*first}
    assert [event.new for event in heard if isinstance(event, events.ArtifactWritten)] == [False, False, True, True]
    assert engine.run(drawings(1, 1, kind)).paths == first


def test_a_picture_of_another_recipe_or_without_its_graph_is_written(tmp_path: Path) -> None:
    @node(version=2)
    def Paint(level: int, name: str = "grey") -> list[Artifact]:
        """The same pictures of another version."""
        stream = io.BytesIO()
        Image.new("L", (2, 2), level).save(stream, "png")
        return [Artifact(stream.getvalue(), "image/png", f"{name}/{n}") for n in range(2)]

    def painted(type: Callable[..., object]) -> Graph:
        with Graph() as graph:
            type(5)
        return graph

    engine = Engine(store=None, output=tmp_path)
    first = engine.run(painted(globals()["Paint"])).paths
    assert not {*engine.run(painted(Paint)).paths} & {*first}
    assert not {*engine.run(painted(Paint), metadata=False).paths} & {*first}


@pytest.mark.parametrize("text", ["", "[]", "3", '{"key": 3}', '{"item": 0}'])
def test_what_a_picture_says_of_its_run_is_not_trusted_either(text: str, step: Step, tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG")
    (tmp_path / "a_0001.png").write_bytes(with_texts(stream.getvalue(), {GRAPH: "{}", RUN: text}))
    delivered = Folder(tmp_path, lambda: "{}")(Artifact(stream.getvalue(), "image/png", "a"), step)
    assert Path(delivered.path).name == "a_0002.png" and delivered.new


def unwritable_folders(folder: Path) -> list[Path]:
    """Folders that nobody can write to, whatever his rights."""
    (folder / "file").write_bytes(b"")
    (folder / "dangling").symlink_to(folder / "nowhere")
    return [folder / "file", folder / "file" / "below", folder / "dangling", Path("/proc/nowhere/below")]


@pytest.mark.parametrize("kind", range(4))
def test_an_output_folder_that_cannot_be_written_is_found_before_the_work(
    kind: int, tmp_path: Path, storeless: Engine
) -> None:
    ran: list[int] = []

    @node
    def Works(number: int) -> int:
        """Work."""
        ran.append(number)
        return number

    @node
    def Shows(number: int) -> Artifact:
        """A sink."""
        return Artifact(b"x", "image/webp", "a")

    with Graph() as graph:
        Shows(Works(1))
    output = unwritable_folders(tmp_path)[kind]
    with refused("unwritable-file"):
        storeless.run(graph, output=output)
    with refused("unwritable-file"):
        storeless.submit(graph, output=output).result(20)
    assert not ran and not [path for path in tmp_path.iterdir() if path.name not in ("file", "dangling")]
    with Graph() as graph:
        graph.output("number", Works(1))
    assert storeless.run(graph, output=output).outputs == {"number": 1}


def test_what_is_delivered_already_needs_no_folder_that_can_be_written(tmp_path: Path) -> None:
    with Graph() as graph:
        Paint(5)
    engine = Engine(store=tmp_path / "store", output=tmp_path / "out")
    first = engine.run(graph)
    assert [*(tmp_path / "out").iterdir()] == [tmp_path / "out" / "grey"]
    assert engine.run(graph).paths == first.paths


def test_without_metadata_a_picture_is_the_nodes_bytes(tmp_path: Path) -> None:
    with Graph() as graph:
        Paint(5)
    (path, _) = Engine(store=None, output=tmp_path, metadata=False).run(graph).paths
    assert carried(path) is None


def test_a_media_type_that_nobody_knows(engine: Engine) -> None:
    with Graph() as graph:
        named("strange", Write)("x", media_type="text/html")
    with refused("unknown-media-type", "text/html", node="strange"):
        engine.run(graph)
