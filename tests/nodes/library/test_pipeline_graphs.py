"""Each graph for a task of RunPipeline runs over a tiny pipeline; all but one by `pytest -m slow FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.imports import ROOT
from tests.nodes.whole_pipelines import CASES
from weft.engine import Engine, Graph

SIZED = {"width": 64, "height": 64}

GRAPHS: dict[str, tuple[str, dict[str, Any]]] = {
    "pipeline_edit": ("StableDiffusionInstructPix2PixPipeline", {}),
    "pipeline_inpaint": ("StableDiffusionXLInpaintPipeline", SIZED),
    "pipeline_upscale": ("StableDiffusionUpscalePipeline", {}),
    "pipeline_picture_to_clip": ("CogVideoXImageToVideoPipeline", {**SIZED, "frames": 9, "format": "webp"}),
    "pipeline_sound": ("StableAudioPipeline", {"settings": {"audio_end_in_s": 1.0}}),
    "clip": ("LTXPipeline", {**SIZED, "frames": 9, "format": "webp"}),
}
"""The class whose tiny pipeline each graph is given, and parameters for small results."""


@pytest.mark.parametrize(
    "name", [one if one == "pipeline_edit" else pytest.param(one, marks=pytest.mark.slow) for one in GRAPHS]
)
def test_a_graph_runs(tmp_path: Path, name: str) -> None:
    kind, given = GRAPHS[name]
    torch.manual_seed(0)
    CASES[kind].make().save_pretrained(tmp_path / "tiny")
    graph = Graph.load(ROOT / "graphs" / f"{name}.json").replace(source="tiny", steps=2, **given)
    if kind.startswith("CogVideoX"):  # the tiny one has places for so many tokens
        graph = graph.set("run.settings", {"max_sequence_length": 16})
    places: dict[str, Any] = {"models": [tmp_path], "inputs": [ROOT / "graphs"], "output": tmp_path / "out"}
    with Engine(store=None, device="cpu", precision="float32", **places) as engine:
        result = engine.run(graph)
    assert result.status == "done" and result.paths and all(Path(path).stat().st_size > 44 for path in result.paths)


def test_every_graph_for_pipelines_is_tried() -> None:
    shipped = {path.stem for path in (ROOT / "graphs").glob("*.json") if '"RunPipeline"' in path.read_text()}
    # That of the embedded model runs with those that need no download.
    assert shipped - {"pipeline"} == GRAPHS.keys()
