"""The example library of nodes/AUTHORING.md, built as a wheel and installed into a fresh environment."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures
from safetensors.torch import save_file

ROOT = Path(__file__).parents[2]

EXAMPLE = ROOT / "tests" / "example_library"

TYPES = {
    "ApplyColourMatrix",
    "BlendPalettes",
    "ColourCount",
    "GuidanceInterval",
    "LoadColourMatrix",
    "LoadPalette",
    "MapToPalette",
}

PALETTES: dict[str, Any] = {
    "picture": {"type": "LoadImage", "inputs": {"path": "lake.png"}},
    "first": {"type": "LoadPalette", "inputs": {"path": "first.hex"}},
    "second": {"type": "LoadPalette", "inputs": {"path": "second.hex"}},
    "count": {"type": "ColourCount", "inputs": {"detail": "coarse"}},
    "blend": {
        "type": "BlendPalettes",
        "inputs": {"first": {"link": "first"}, "second": {"link": "second"}, "amount": 0.5},
    },
    "map": {
        "type": "MapToPalette",
        "inputs": {"image": {"link": "picture"}, "palette": {"link": "blend"}, "most": {"link": "count"}},
    },
    "matrix": {"type": "LoadColourMatrix", "inputs": {"source": "swap.safetensors"}},
    "apply": {"type": "ApplyColourMatrix", "inputs": {"image": {"link": "map"}, "matrix": {"link": "matrix"}}},
    "save": {"type": "SaveImage", "inputs": {"image": {"link": "apply"}, "name": "mapped"}},
}


@dataclass(frozen=True)
class Finished:
    """A command that has ended: its exit code, and the JSON objects that it wrote."""

    code: int
    lines: list[dict[str, Any]]

    @property
    def problems(self) -> list[str]:
        """What a check found wrong, as `code node.input`."""
        found = [line for line in self.lines if line["event"] == "problem"]
        return [f"{line['code']} {line['node']}.{line['input']}" for line in found]

    def nodes(self, event: str) -> set[str]:
        """The nodes that an event of this name is about."""
        return {line["node"] for line in self.lines if line["event"] == event}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment: the example library's wheel, over the packages that the tests run with."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    alone = ["--no-index", "--no-deps"]
    build = [*pip, "wheel", "-q", *alone, "--no-build-isolation", "-w", str(folder), str(folder / "source")]
    subprocess.run(build, check=True)
    venv.create(folder / "env", symlinks=True)
    made = folder / "env" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", str(made), "install", "-q", *alone, str(wheel)], check=True)
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
    (packages / "outer.pth").write_text("\n".join(lines))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the graphs name: a picture, two palettes, a matrix that swaps red and blue; and the graph itself."""
    shutil.copy(ROOT / "graphs" / "pictures" / "lake.png", tmp_path)
    (tmp_path / "first.hex").write_text("000000\nff0000\n00ff00\nff0000\n0000ff\n")
    (tmp_path / "second.hex").write_text("202020\nffff00\n00ff00\n0000ff\n")
    save_file({"matrix": torch.eye(3).flip(0).contiguous()}, tmp_path / "swap.safetensors")
    write(tmp_path, PALETTES)
    return tmp_path


def write(folder: Path, nodes: dict[str, Any]) -> None:
    (folder / "graph.json").write_text(json.dumps({"weft": 1, "nodes": nodes}))


def weft(python: Path, folder: Path, *arguments: str) -> Finished:
    """Run `weft` of the new environment in a folder."""
    code = "import sys; from weft.engine.cli import call; sys.exit(call(sys.argv[1:]))"
    environment = {**os.environ, "WEFT_STORE": str(folder / "store")}
    run = subprocess.run(
        [python, "-c", code, *arguments, "--json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Finished(run.returncode, [json.loads(line) for line in run.stdout.splitlines()])


def test_its_node_types_are_in_the_catalogue(python: Path, folder: Path) -> None:
    listed = weft(python, folder, "nodes")
    assert {one["name"] for one in listed.lines} > TYPES
    (one,) = weft(python, folder, "nodes", "LoadPalette").lines
    assert (one["version"], one["lane"], one["outputs"]) == (2, "io", {"palette": "Palette"})


def test_it_runs_and_is_cached_in_the_next_process(python: Path, folder: Path) -> None:
    first, second = (weft(python, folder, "run", "graph.json") for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    assert {"first", "second", "blend", "map", "matrix", "apply"} <= first.nodes("node_finished")
    assert not second.nodes("node_finished")
    assert len(list((folder / "output").iterdir())) == 1


def test_its_patch_changes_the_weights_for_one_node_and_leaves_them_to_the_next(python: Path, folder: Path) -> None:
    amounts = {"none": 0.0, "half": 0.5, "whole": 1.0}
    nodes: dict[str, Any] = {name: PALETTES[name] for name in ("picture", "matrix")}
    for name, amount in amounts.items():
        inputs = {"image": {"link": "picture"}, "matrix": {"link": "matrix"}, "amount": amount}
        nodes[name] = {"type": "ApplyColourMatrix", "inputs": inputs}
        nodes[f"save_{name}"] = {"type": "SaveImage", "inputs": {"image": {"link": name}, "name": name}}
    write(folder, nodes)
    assert weft(python, folder, "run", "graph.json").code == 0
    plain = numpy.array(Pictures.open(folder / "lake.png").convert("RGB"), int)
    none, half, whole = (numpy.array(Pictures.open(folder / "output" / f"{name}_0001.png"), int) for name in amounts)
    assert numpy.array_equal(none, plain) and numpy.array_equal(whole, plain[..., ::-1])
    assert abs(2 * half - none - whole).max() <= 1


@pytest.mark.slow
def test_a_file_counts_by_its_content(python: Path, folder: Path) -> None:
    weft(python, folder, "run", "graph.json")
    (folder / "first.hex").write_text("000000\nffffff\n00ff00\n0000ff\n")
    again = weft(python, folder, "run", "graph.json")
    assert again.nodes("node_finished") == {"first", "blend", "map", "apply", "save"}


def test_a_palette_that_the_blend_leaves_out_is_not_loaded(python: Path, folder: Path) -> None:
    run = weft(python, folder, "run", "graph.json", "--set", "blend.amount=0.0")
    assert run.code == 0 and "second" not in run.nodes("node_finished")


@pytest.mark.parametrize(
    ("node", "inputs", "problem"),
    [
        ("first", {"path": "lake.png"}, "wrong-kind-of-file first.path"),
        ("blend", {"first": {"link": "first"}, "amount": 0.5}, "missing-input blend.second"),
        ("apply", {**PALETTES["apply"]["inputs"], "alpha": True}, "wrong-channels apply.alpha"),
        ("matrix", {"source": "first.hex"}, "wrong-kind-of-file matrix.source"),
    ],
)
def test_its_problems_are_found_before_a_run(
    python: Path, folder: Path, node: str, inputs: dict[str, Any], problem: str
) -> None:
    write(folder, {**PALETTES, node: {**PALETTES[node], "inputs": inputs}})
    checked = weft(python, folder, "check", "graph.json")
    assert checked.code == 2
    assert checked.problems == [problem]


def guided(steps: int) -> dict[str, Any]:
    """A picture guided in an interval of the steps."""
    nodes: dict[str, Any] = json.loads((ROOT / "graphs" / "text_to_image.json").read_text())["nodes"]
    nodes["interval"] = {
        "type": "GuidanceInterval",
        "inputs": {"guide": {"link": "guide"}, "start": 0.3, "end": 0.4},
    }
    nodes["sampler"]["inputs"] |= {"guide": {"link": "interval"}, "steps": steps}
    nodes["latent"]["inputs"] |= {"width": 64, "height": 64}
    return nodes


def test_its_guide_refuses_a_sampler_that_it_cannot_serve(python: Path, folder: Path) -> None:
    write(folder, guided(steps=2))
    checked = weft(python, folder, "check", "graph.json")
    assert checked.code == 2
    assert checked.problems == ["no-step-in-interval sampler.steps"]


@pytest.mark.slow
def test_its_guide_runs_under_a_sampler_that_it_can_serve(python: Path, folder: Path) -> None:
    write(folder, guided(steps=5))
    run = weft(python, folder, "run", "graph.json")
    assert run.code == 0 and {"interval", "sampler"} <= run.nodes("node_finished")
