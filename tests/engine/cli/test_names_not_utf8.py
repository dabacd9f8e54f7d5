"""Folders and files whose names are not UTF-8: used as folders of a run, refused where a graph names them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from weft.engine.cli import call

STRANGE = os.fsdecode(b"caf\xe9")
GRAPH = {
    "weft": 1,
    "parameters": {"path": {"sets": ["load.path"]}},
    "nodes": {
        "load": {"type": "LoadImage", "inputs": {"path": "a.png"}},
        "save": {"type": "SaveImage", "inputs": {"image": {"link": "load"}}},
    },
}

Records = list[dict[str, Any]]


@pytest.fixture
def weft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """A command in a folder of a strange name; gives its exit code and its JSON lines."""
    folder = tmp_path / STRANGE
    folder.mkdir()
    (folder / "g.json").write_text(json.dumps(GRAPH))
    (folder / "j.json").write_text(
        json.dumps({"weft_job": 1, "graph": "g.json", "sweep": {"path": ["a.png"]}, "name": "{index}"})
    )
    for name in ("a.png", f"{STRANGE}.png"):
        Image.new("RGB", (2, 2)).save(folder / name, "PNG")
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> tuple[int, Records]:
        code = call([*arguments, "--json"])
        lines = capsys.readouterr().out.splitlines()
        return code, [json.loads(line) for line in lines]

    return run


def test_a_run_in_such_a_folder_goes_on_as_in_any_other(weft: Callable[..., Any]) -> None:
    options = ("--store", "s", "--out", f"o{STRANGE}", "--device", "cpu")
    for ran in (2, 0):
        code, events = weft("run", "g.json", *options)
        written = next(event for event in events if event["event"] == "artifact")
        assert (code, events[-1]["ran"]) == (0, ran) and written["path"].endswith("ocaf\\xE9/image_0001.png")
    assert Path(f"o{STRANGE}", "image_0001.png").is_file()


def test_a_job_in_such_a_folder_is_exported_and_run(weft: Callable[..., Any]) -> None:
    code, _ = weft("farm", "run", "j.json", "--store", "s", "--out", f"f{STRANGE}", "--device", "cpu")
    assert code == 0 and Path(f"f{STRANGE}", "0.png").is_file()


def test_a_graph_that_names_such_a_file_is_refused(weft: Callable[..., Any]) -> None:
    code, problems = weft("run", "g.json", "--set", f"path={STRANGE}.png", "--store", "s", "--device", "cpu")
    assert (code, [problem["code"] for problem in problems]) == (2, ["malformed-value"])
