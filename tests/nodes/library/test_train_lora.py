"""Training a LoRA in a graph: the same bytes each time, also where it was stopped, and refused where it cannot work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from tests.nodes.fine_tuning.training import CAPTIONS, pictures
from tests.refusals import refused
from weft.engine import Context, Engine, Graph
from weft.engine.events import Event, NodeProgress, Previewed
from weft.nodes import (
    ApplyLoRA,
    CFGGuide,
    EmptyLatent,
    Image,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    LoadLoRA,
    PlotLosses,
    SaveLoRA,
    TextEncode,
    TrainLoRA,
    VAEDecode,
)
from weft.nodes.fine_tuning.training_pictures import bucket
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.sizes import Size

Call = Callable[..., Any]

QUICK: dict[str, Any] = {"steps": 4, "rank": 2, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pictures."""
    made = tmp_path_factory.mktemp("trained")
    for number, pixels in enumerate(pictures(side=32).pixels):
        Image(pixels[None]).save(made / f"{number}.png")
    return made


@pytest.fixture
def own(models: Path, folder: Path, tmp_path: Path) -> Engine:
    """An engine with a store on disk."""
    folders: dict[str, Any] = {"models": [models], "inputs": [folder], "output": tmp_path / "output"}
    return Engine(store=tmp_path / "store", device="cpu", precision="float32", checkpoint_every=1e-9, **folders)


def training(model: str = "epsilon", captions: Any = CAPTIONS[0], **options: Any) -> Any:
    """The node of a training; within a graph."""
    checkpoint = LoadCheckpoint(model)
    given = [LoadImage("0.png"), LoadImage("1.png")]
    return TrainLoRA(checkpoint.model, checkpoint.text_encoder, checkpoint.vae, given, captions, **{**QUICK, **options})


def saved(**options: Any) -> Graph:
    with Graph() as graph:
        SaveLoRA(training(**options).lora, "style")
    return graph


def stop_at(step: int) -> tuple[Callable[[Event], None], Callable[[], bool]]:
    """A listener, and whether a run is to stop since it has heard of a step."""
    seen: list[int] = []

    def hear(event: Event) -> None:
        seen.extend([event.step] if isinstance(event, NodeProgress) else [])

    return hear, lambda: step in seen


@pytest.mark.parametrize("options", [{}, {"train_text_encoder": True, "accumulation": 2, "rate_schedule": "cosine"}])
def test_a_training_that_was_stopped_gives_the_same_file(own: Engine, tmp_path: Path, options: dict[str, Any]) -> None:
    graph = saved(**options)
    with Engine(store=None, device="cpu", models=own.models, inputs=own.inputs, output=tmp_path / "whole") as other:
        (whole,) = other.run(graph).paths
    for step in (1, 3):
        hear, stops = stop_at(step)
        assert own.execute(own.plan(graph), listener=hear, cancelled=stops).status == "cancelled"
    heard: list[Event] = []
    (path,) = own.run(graph, listener=heard.append).paths
    assert path.read_bytes() == whole.read_bytes()
    assert [event.step for event in heard if isinstance(event, NodeProgress)] == [4]


@pytest.mark.slow
def test_a_training_whose_process_is_killed_gives_the_same_file(own: Engine, tmp_path: Path) -> None:
    """`pytest -m slow tests/nodes/library/test_train_lora.py`"""
    graph = saved(steps=60)
    graph.save(tmp_path / "graph.json")
    with Engine(store=None, device="cpu", models=own.models, inputs=own.inputs, output=tmp_path / "whole") as other:
        (whole,) = other.run(graph).paths
    command = [sys.executable, "-m", "tests.nodes.fine_tuning.killed", str(tmp_path), str(own.models[0])]
    ends = [subprocess.run([*command, str(own.inputs[0]), str(step)]).returncode for step in (3, 17, 18, 40, 59)]
    assert ends == [-9] * 5
    heard: list[Event] = []
    (path,) = own.run(graph, listener=heard.append).paths
    assert path.read_bytes() == whole.read_bytes()
    assert min(event.step for event in heard if isinstance(event, NodeProgress)) > 17


def painted(lora: Any, checkpoint: Any, strength: float = 1.0) -> Any:
    """A picture of the tiny model under a LoRA; within a graph."""
    model, text = ApplyLoRA(lora, checkpoint.model, checkpoint.text_encoder, strength=strength)
    guide = CFGGuide(model, TextEncode(text, CAPTIONS[0]), scale=3.0)
    return VAEDecode(checkpoint.vae, KSampler(guide, EmptyLatent(32, 32), steps=2, sampler="euler"))


def test_what_is_trained_paints_in_the_same_graph_and_from_its_file(own: Engine, models: Path) -> None:
    with Graph() as graph:
        found = training(train_text_encoder=True, layers="all")
        SaveLoRA(found.lora)
        graph.output("linked", painted(found.lora, LoadCheckpoint("epsilon")))
        graph.output("plot", PlotLosses(found.losses, smoothing=2))
    result = own.run(graph)
    (path,) = result.paths
    assert result.outputs["plot"].pixels.std() > 0
    path.replace(models / "linked.safetensors")
    with Graph() as again:
        for name, strength in (("loaded", 1.0), ("without", 0.0)):
            again.output(name, painted(LoadLoRA("linked.safetensors"), LoadCheckpoint("epsilon"), strength))
    outputs = own.run(again).outputs
    assert torch.equal(outputs["loaded"].pixels, result.outputs["linked"].pixels)
    assert not torch.equal(outputs["loaded"].pixels, outputs["without"].pixels)


def test_the_file_says_what_made_it(own: Engine) -> None:
    (path,) = own.run(saved(alpha=1.0)).paths
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    made = json.loads(metadata["weft_training"])
    assert made["settings"]["steps"] == 4 and made["settings"]["alpha"] == 1.0
    assert made["data"]["pictures"]["captions"] == CAPTIONS[0] and len(made["data"]["pictures"]["digest"]) == 64
    assert {"torch", "peft", "diffusers"} <= made["versions"].keys()
    assert (metadata["ss_base_model_version"], metadata["ss_network_alpha"]) == ("sd_v1", "1.0")


def test_the_model_is_as_it_was_afterwards(call: Call, context: Context) -> None:
    checkpoint = call(LoadCheckpoint, source="epsilon")

    def weights() -> dict[str, torch.Tensor]:
        with context.weights(checkpoint.model, Denoiser) as denoiser:
            return {name: one.clone() for name, one in denoiser.network.state_dict().items()}

    before = weights()
    call(TrainLoRA, **checkpoint._asdict(), pictures=pictures(), captions=CAPTIONS, **QUICK)
    after = weights()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_previews_are_samples(own: Engine) -> None:
    heard: list[Event] = []
    own.run(saved(sample_every=2), listener=Previewed(heard.append))
    shown = [event for event in heard if isinstance(event, NodeProgress)]
    assert any(event.preview.startswith(b"\x89PNG") for event in shown)
    assert all(0 < event.measured["loss"] < 10 for event in shown)


def test_a_training_that_diverges_is_refused(own: Engine) -> None:
    with refused("training-diverged", "learning_rate"):
        own.run(saved(steps=40, learning_rate=10.0, layers="all", clip_gradients=1e6, rank=16))


def test_pictures_of_several_sizes_train_in_batches_of_their_own(call: Call) -> None:
    checkpoint = call(LoadCheckpoint, source="epsilon")
    several = [pictures(side=32), pictures(side=48)]
    given = {"pictures": several, "captions": "a house", "class_pictures": pictures(3), "class_captions": "a thing"}
    losses = call(TrainLoRA, **checkpoint._asdict(), **given, **QUICK, batch_size=2).losses
    assert len(losses) == 4 and all(loss > 0 for loss in losses)


@pytest.mark.parametrize(
    ("source", "resolution", "cut"),
    [((512, 512), 64, (64, 64)), ((900, 600), 64, (80, 56)), ((70, 33), 0, (64, 32)), ((600, 900), 64, (56, 80))],
)
def test_buckets_keep_proportions_nearly(source: tuple[int, int], resolution: int, cut: tuple[int, int]) -> None:
    assert bucket(Size(*source), resolution, 8) == cut


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"captions": ["one"] * 3}, "batch-mismatch"),
        ({"pictures": []}, "empty-list"),
        ({"flow_shift": 2.0}, "unsupported-by-model"),
        ({"debiased": True, "min_snr": 5.0}, "conflicting-inputs"),
    ],
)
def test_what_cannot_be_trained_is_refused(call: Call, given: dict[str, Any], code: str) -> None:
    checkpoint = call(LoadCheckpoint, source="epsilon")
    usual = {"pictures": pictures(), "captions": CAPTIONS, **QUICK}
    with refused(code):
        call(TrainLoRA, **checkpoint._asdict(), **{**usual, **given})


def test_a_package_that_is_missing_is_a_problem_of_the_check(own: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    found = own.check(saved(optimizer="adamw_8bit")).problems
    assert {(one.input, one.code) for one in found} == {("model", "missing-package"), ("optimizer", "missing-package")}
