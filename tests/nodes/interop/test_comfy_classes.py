"""Node classes for ComfyUI that a user names run as node types: by their source, with pictures as they know them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pictures

from tests.nodes.interop.packages import packages
from tests.refusals import names, refused
from weft.engine import CatalogError, Engine, Graph, GraphError
from weft.engine.cli import call
from weft.engine.graph import document
from weft.engine.workspace import Workspace
from weft.nodes.interop.comfy_export import export_comfyui

Tree = dict[str, Any]


def node(type: str, **inputs: Any) -> Tree:
    return {"class_type": type, "inputs": inputs}


def brightened(**inputs: Any) -> Tree:
    given = {"image": ["1", 0], "factor": 2, "mode": "times", **inputs}
    return {
        "1": node("LoadImage", image="in.png"),
        "2": node("Brighten (plain)", **given),
        "3": node("Join", pieces=["2", 2], seed=3),
        "4": node("SaveImage", images=["3", 0], filename_prefix="bright"),
        "5": node("Show", value=["2", 1]),
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Pictures.new("RGB", (16, 8), (100, 50, 20)).save(tmp_path / "in.png")
    monkeypatch.chdir(tmp_path)
    return packages(tmp_path)


def saved(tmp_path: Path, tree: Tree) -> Path:
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(tree))
    return path


def engine(folder: Path) -> Engine:
    root = folder.parent
    return Engine(store=root / "store", device="cpu", output=root / "out", comfy_nodes=[folder], report=print)


def test_a_picture_goes_through_classes_and_comes_back(folder: Path, tmp_path: Path) -> None:
    path = saved(tmp_path, brightened())
    with engine(folder) as made:
        result = made.run(path)
        with Pictures.open(result.paths[0]) as picture:
            assert picture.size == (16, 8) and picture.getpixel((3, 3)) == (200, 100, 40)
        assert json.loads(result.outputs["show"])["text"][0].startswith("0.44444")
        again = made.run(path)  # what the class changed in place was its own
        assert not again.ran and again.paths == result.paths


def test_what_is_written_of_a_class_is_read_again_and_imported_again(folder: Path, tmp_path: Path) -> None:
    with engine(folder) as made:
        graph = document.load(saved(tmp_path, brightened()), types=made.catalog)
        assert not made.check(graph).problems
        back = export_comfyui(graph, made.catalog)
        again = document.built(back, graph.path, types=made.catalog)
        assert document.plain(again)["nodes"] == document.plain(graph)["nodes"]
        written = document.read(document.write(graph))
        assert not made.check(written).problems


def test_the_sources_of_a_package_are_part_of_the_keys_of_its_classes(folder: Path, tmp_path: Path) -> None:
    path = saved(tmp_path, brightened())
    with engine(folder) as made:
        assert "brighten_plain" in made.run(path).ran
    limits = folder / "plain-pack" / "parts" / "limits.py"
    limits.write_text("def limited(image):\n    return image.clamp(0, 0.5)\n")
    with engine(folder) as made:
        result = made.run(path)
        assert {"brighten_plain", "join"} <= {*result.ran}
        with Pictures.open(result.paths[0]) as picture:
            assert picture.getpixel((3, 3)) == (127, 100, 40)


def test_a_class_that_says_when_it_has_changed_runs_then(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("one")
    tree = {"1": node("Read", path="text"), "2": node("Show", value=["1", 0])}
    path = saved(tmp_path, tree)
    with engine(folder) as made:
        assert json.loads(made.run(path).outputs["show"])["text"] == ["one"]
        assert not made.run(path).ran
        (tmp_path / "text").write_text("three")
        assert json.loads(made.run(path).outputs["show"])["text"] == ["three"]


def test_a_class_that_is_never_equal_runs_each_time_with_what_is_below_it(folder: Path, tmp_path: Path) -> None:
    path = saved(tmp_path, {"1": node("Clock"), "2": node("Show", value=["1", 0])})
    with engine(folder) as made:
        first, planned = made.run(path), made.plan(path)
        assert [step.state for step in planned.steps] == ["run", "undecided"]
        second = made.run(path)
        assert first.outputs["show"] != second.outputs["show"] and {*second.ran} == {"clock", "show"}


def test_lists_go_to_classes_that_take_them_and_to_no_others(folder: Path, tmp_path: Path) -> None:
    joined = {"1": node("Split", text="a,b,c"), "2": node("Glue", texts=["1", 0], between="+")}
    wrong = {"1": node("Split", text="a"), "2": node("Read", path=["1", 0])}
    with engine(folder) as made:
        path = saved(tmp_path, {**joined, "3": node("Show", value=["2", 0])})
        assert json.loads(made.run(path).outputs["show"])["text"] == ["a+b+c"]
        path = saved(
            tmp_path,
            {**wrong, "3": node("Show", value=["2", 0])},
        )
        with pytest.raises(GraphError) as caught:
            made.plan(path)
        assert [one.input for one in caught.value.problems] == ["path"]


@pytest.mark.parametrize(
    ("type", "inputs", "named"),
    [
        ("Folders", {}, ["folder_paths", "needs_folders"]),
        ("Imports", {"image": ["1", 0]}, ["comfy.utils", "classes.py"]),
        ("TakesModel", {"model": "x"}, ["MODEL"]),
    ],
)
def test_a_class_that_needs_comfyui_is_refused_with_what_it_needs(
    folder: Path, tmp_path: Path, type: str, inputs: Tree, named: list[str]
) -> None:
    whole = {"1": node("LoadImage", image="in.png"), "4": node("PreviewImage", images=["1", 0])}
    path = saved(tmp_path, {**whole, "2": node(type, **inputs), "3": node("PreviewImage", images=["2", 0])})
    workspace = Workspace(comfy_nodes=[folder])
    problems = workspace.check(path).problems
    assert [one.code for one in problems] == ["unmapped-node"] and names(problems[0], *named)
    written = Graph(nodes={"it": document._node({"type": f"comfy:{type}"}, "it", [])}, outputs={})
    assert "refused-class" in {one.code for one in workspace.check(written, ["it"]).problems}


def test_a_class_that_raises_fails_its_node_with_the_place(folder: Path, tmp_path: Path) -> None:
    tree = {"1": node("LoadImage", image="in.png"), "2": node("Fails", image=["1", 0])}
    path = saved(tmp_path, {**tree, "3": node("PreviewImage", images=["2", 0])})
    with engine(folder) as made, refused("failed-class", "ValueError", "no such picture", "classes.py", node="fails"):
        made.run(path)


def test_what_a_class_says_of_its_inputs_is_found_before_a_run(folder: Path, tmp_path: Path) -> None:
    workspace = Workspace(comfy_nodes=[folder])
    wrong = brightened(factor=9, mode="by")
    assert {one.code for one in workspace.check(saved(tmp_path, wrong)).problems} == {"out-of-range", "unknown-choice"}
    odd = {"1": node("Even", number=3), "2": node("PreviewImage", images=["1", 0])}
    (found,) = workspace.check(saved(tmp_path, odd)).problems
    assert found.code == "refused-by-node-type" and names(found, "odd")


def test_a_class_runs_where_the_user_names_its_folder_and_for_no_graph(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(saved(tmp_path, brightened()))
    (tmp_path / "weft.toml").write_text(f'comfy_nodes = ["{folder}"]\n')
    assert call(["check", path]) == 2
    for command in (
        ["check", path],
        ["plan", path, "--no-cache"],
        ["import", path, "-o", "graph.json"],
        ["show", path],
    ):
        assert call([*command, "--comfy-nodes", str(folder)]) == 0, capfd.readouterr().err
        assert "hello" not in capfd.readouterr().out
    monkeypatch.setenv("WEFT_COMFY_NODES", str(folder))
    assert call(["check", path]) == 0 and call(["check", "graph.json"]) == 0


@pytest.mark.slow
def test_a_job_runs_classes(folder: Path, tmp_path: Path) -> None:
    """`pytest -m slow tests/nodes/interop/test_comfy_classes.py`."""
    saved(tmp_path, brightened())
    sweep = {"brighten_plain.factor": [1.0, 1.5]}
    (tmp_path / "job.json").write_text(json.dumps({"weft_job": 1, "graph": "workflow.json", "sweep": sweep}))
    assert call(["farm", "plan", "job.json", "--comfy-nodes", str(folder)]) == 0
    assert call(["farm", "submit", "job.json", "-o", "job", "--comfy-nodes", str(folder)]) == 0
    assert call(["farm", "work", "job"]) == 0
    assert len([*(tmp_path / "job").glob("*.png")]) == 2


def test_a_folder_without_classes_is_an_error(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(CatalogError):
            Workspace(comfy_nodes=[place])
