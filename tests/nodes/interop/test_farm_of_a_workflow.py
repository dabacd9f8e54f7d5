"""A picture of ComfyUI's as a job over seeds and prompts, and what its pictures carry.

The job, killed and continued, in about a minute: `pytest -m slow tests/nodes/interop/test_farm_of_a_workflow.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pictures
from PIL.PngImagePlugin import PngInfo

from tests.nodes.interop.classic import api, editor
from tests.nodes.interop.test_points_of_the_formats import changed, in_subgraph
from weft.engine import Engine, Graph
from weft.engine.graph import document
from weft.engine.picture_text import carried
from weft.nodes.interop.carried_values import literals_of, own_values

INVERTED = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "in.png"}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}},
}


def picture(path: Path, **texts: str) -> Path:
    """A PNG with texts."""
    chunks = PngInfo()
    for name, text in texts.items():
        chunks.add_text(name, text)
    Pictures.new("RGB", (8, 8), "red").save(path, pnginfo=chunks)
    return path


@pytest.mark.parametrize("ending", ["json", "png"])
def test_a_picture_carries_the_graph_and_the_workflow_that_it_is_from(tmp_path: Path, ending: str) -> None:
    picture(tmp_path / "in.png")
    texts = {"prompt": json.dumps(INVERTED), "workflow": json.dumps(editor())}
    if ending == "json":
        del texts["workflow"]
        (tmp_path / "graph.json").write_text(texts["prompt"])
    else:
        picture(tmp_path / "graph.png", **texts)
    graph = Graph.load(tmp_path / f"graph.{ending}")
    with Engine(store=None, device="cpu", output=tmp_path / "out", inputs=[tmp_path]) as engine:
        (path,) = engine.run(graph).paths
        found = carried(Path(path))
        assert found is not None and found.others == texts
        with Pictures.open(path) as opened:
            opened.load()
            assert {key: opened.info[key] for key in texts} == texts
        again = Graph.load(path)
        assert again == graph and again.carries == texts
        # A second run finds the picture written, and writes none.
        assert engine.run(again).paths == (path,) and len([*(tmp_path / "out").iterdir()]) == 1


def test_numbers_that_are_none_in_a_picture_are_no_fault(tmp_path: Path) -> None:
    """ComfyUI writes NaN next to nodes that it never caches; and other programs write their prompt as plain text."""
    tree: dict[str, Any] = json.loads(json.dumps(INVERTED))
    tree["2"]["is_changed"] = [float("nan")]
    tree["3"]["inputs"]["filename_prefix"] = "NaN"
    graph = Graph.load(picture(tmp_path / "a.png", prompt=json.dumps(tree)))
    assert not graph.faults and graph.nodes["save_image"].inputs["name"] == "NaN"
    plain = picture(tmp_path / "b.png", prompt="a red house", workflow=json.dumps(INVERTED))
    assert Graph.load(plain).nodes.keys() == graph.nodes.keys()


@pytest.mark.parametrize("tree", [api(batch_size=1), editor(), editor(1), in_subgraph(2)])
def test_a_workflow_has_the_values_of_the_graph_that_was_made_of_it(tree: dict[str, Any]) -> None:
    graph = document.read(json.dumps(tree))
    made = graph.replace({"guide.scale": 5.5}, prompt="a lake", seed=99, steps=8)
    ((_, text),) = own_values(made, {}).items()
    assert literals_of(document.read(text)) == literals_of(made) != literals_of(graph)
    assert own_values(graph, {}) == graph.carries
    # What has no place in the workflow is not carried by one that would make another picture.
    assert not own_values(graph.replace({"k_sampler.eta": 0.5}), {})


def published(out: Path) -> list[Path]:
    return sorted(out.glob("*.png"))


@pytest.mark.slow
def test_a_job_over_a_workflow_goes_on_after_a_kill(tmp_path: Path) -> None:
    shown = changed(changed(editor(), 4, widgets_values=["builtin:landscapes"]), 5, widgets_values=[64, 64, 1])
    texts = {"prompt": json.dumps(api("builtin:landscapes", batch_size=1)), "workflow": json.dumps(shown)}
    picture(tmp_path / "made.png", **texts)
    sweep: dict[str, list[Any]] = {"prompt": ["a red house", "a lake"], "seed": [1, 2]}
    (tmp_path / "job.json").write_text(json.dumps({"weft_job": 1, "graph": "made.png", "sweep": sweep}))
    start = "from weft.engine.cli import main; main()"
    command = [sys.executable, "-c", start, "farm", "run", "job.json", "-o", "out"]
    options: dict[str, Any] = {"cwd": tmp_path, "env": {**os.environ, "WEFT_HOME": str(tmp_path / "home")}}
    begun = subprocess.Popen(command, start_new_session=True, **options)
    while not published(tmp_path / "out") and begun.poll() is None:
        time.sleep(0.05)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    first = {path: path.stat().st_mtime_ns for path in published(tmp_path / "out")}
    assert 1 <= len(first) < 4
    subprocess.run(command, check=True, **options)
    paths = published(tmp_path / "out")
    assert len(paths) == 4 and all(path.stat().st_mtime_ns == when for path, when in first.items())
    given = [Graph.load(path).parameters for path in paths]
    for path in paths:  # what ComfyUI reads of a picture makes this picture, and no other one of the job
        graph = Graph.load(path)
        assert graph.carries.keys() == texts.keys()
        for text in graph.carries.values():
            assert literals_of(document.read(text)) == literals_of(graph)
    assert {(one["prompt"].default, one["seed"].default) for one in given} == {
        (prompt, seed) for prompt in sweep["prompt"] for seed in sweep["seed"]
    }
