"""What a plan says that steps need of a device's memory is what the pretended device counts.

All families at three sizes, with what was counted:
`pytest -m slow -s tests/device/test_dry_device.py`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.device.device_pictures import MAPPING, PICTURES, SEEING
from tests.device.device_pictures import graph_of as painting
from tests.device.pretended import PretendedDevices
from tests.device.test_clips import clip_graph
from weft.engine import Engine, Graph, events
from weft.engine.planning.planner import Plan
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, TextEncode, VAEDecode

EMBEDDED = "builtin:landscapes"

FAMILIES = (
    *(EMBEDDED, "sd2", "sdxl", "sd3", "sd35", "flux-dev", "z-image", "qwen-image", "dit", "ddpm", "consistency"),
    *("chroma", "flux2", "flux2-klein", "hidream", "lumina2", "pixart", "sana", "sana-sprint", "qwen-edit", "lotus"),
)

CLIPS = (
    *("wan", "wan-pictures", "wan-5b", "wan-experts", "ltx", "svd"),
    *("cogvideox", "cogvideox-patched", "cogvideox-patched-pictures", "hunyuan-video", "hunyuan-video-pictures"),
)

TEXTS = {"dit": "207", "ddpm": "", "consistency": ""}

SIZES = ((64, 1), (128, 1), (192, 2))
"""Sides in pixels, and batches."""

PIXELS = ((32, 1), (32, 2), (32, 4))

CLIP_SIZES = ((64, 9), (64, 17), (128, 9))
"""Sides in pixels, and frames."""

LONGER = ((64, 9), (64, 17), (64, 25))

FIXED = {
    "dit": ((128, 1), (128, 2), (128, 3)),
    "ddpm": PIXELS,
    "consistency": PIXELS,
    "hidream": ((64, 1), (128, 1), (128, 2)),
    "cogvideox-patched": LONGER,
    "cogvideox-patched-pictures": LONGER,
}
"""Those of models that take one size alone, or no larger one."""

LARGEST_ERROR = 0.1

CASES = [
    *((model, *size) for model in FAMILIES for size in FIXED.get(model, SIZES)),
    *((model, *size) for model in CLIPS for size in FIXED.get(model, CLIP_SIZES)),
]


def graph_of(model: str, side: int, batch: int = 1, seed: int = 0, steps: int = 4) -> Graph:
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(model)
        prompt = TextEncode(checkpoint.text_encoder, TEXTS.get(model, "a (red:1.3) house"))
        guide = CFGGuide(checkpoint.model, prompt, scale=4.0)
        latent = KSampler(guide, EmptyLatent(side, side, batch), seed=seed, steps=steps, sampler="model")
        graph.output("image", VAEDecode(checkpoint.vae, latent))
    return graph


class Peaks:
    """Hears what was the most on the device while each node ran, and what lay there before it."""

    def __init__(self, devices: PretendedDevices) -> None:
        self.devices = devices
        self.before: dict[str, int] = {}
        self.most: dict[str, int] = {}

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.NodeStarted):
            self.before[event.node] = self.devices.held
        if isinstance(event, events.NodeFinished):
            self.most[event.node] = event.peak


def needs(plan: Plan) -> dict[str, int]:
    return {step.call.id: step.memory.peak for step in plan.steps if step.memory}


def plan_and_peaks(graph: Graph, **options: Any) -> tuple[Plan, Peaks]:
    """A plan with what its steps need, and what the pretended device counted as they ran."""
    with PretendedDevices("cuda") as devices, Engine(device="cuda:0", history=False, **options) as engine:
        plan = engine.plan(graph, memory=True)
        assert devices.held == devices["cuda:0"].peak == 0
        peaks = Peaks(devices)
        assert not engine.execute(plan, listener=peaks).failures
    return plan, peaks


def plan_and_counts(graph: Graph, **options: Any) -> tuple[Plan, dict[str, int]]:
    """A plan with what its steps need, and what they took where one model lies on the device at a time, and whole."""
    plan, peaks = plan_and_peaks(graph, weights=0, offload="none", **options)
    return plan, {node: peaks.most[node] - peaks.before[node] for node in needs(plan)}


@pytest.mark.slow
@pytest.mark.parametrize(("model", "side", "batch"), CASES)
def test_a_step_needs_what_the_plan_says(
    request: pytest.FixtureRequest, tmp_path: Path, model: str, side: int, batch: int
) -> None:
    folders: dict[str, Any] = {"models": [request.getfixturevalue("models")]} if model != EMBEDDED else {}
    if folders:
        request.getfixturevalue("zoo")(model)
    if model in CLIPS:
        graph = clip_graph(model, side=side, frames=batch)
    else:
        graph = painting(model, side=side) if model in (*SEEING, *MAPPING) else graph_of(model, side, batch)
    plan, counted = plan_and_counts(graph, store=None, output=tmp_path, inputs=[PICTURES], **folders)
    assert {"encode_edit_prompt" if model in SEEING else "text_encode", "k_sampler"} <= counted.keys()
    for node, predicted in needs(plan).items():
        print(f"\n{model:20} {side:4} x {batch} {node:14} {predicted:10} predicted {counted[node]:10} counted", end="")
        assert abs(predicted - counted[node]) <= LARGEST_ERROR * counted[node]


@pytest.mark.slow
@pytest.mark.parametrize("offload", ["model", "group", "sequential"])
@pytest.mark.parametrize("model", [EMBEDDED, "sdxl", "sd3", "flux-dev", "qwen-image"])
def test_a_step_needs_what_the_plan_says_where_networks_wait_on_the_host(
    request: pytest.FixtureRequest, tmp_path: Path, model: str, offload: str
) -> None:
    """`pytest -m slow -s tests/device/test_dry_device.py -k host`."""
    folders: dict[str, Any] = {"models": [request.getfixturevalue("models")]} if model != EMBEDDED else {}
    if folders:
        request.getfixturevalue("zoo")(model)
    plan, peaks = plan_and_peaks(graph_of(model, 64), store=None, output=tmp_path, offload=offload, **folders)
    for node, predicted in needs(plan).items():
        # What lay there before leaves as the node begins.
        most, counted = max(predicted, peaks.before[node]), peaks.most[node]
        print(f"\n{model:20} {offload:10} {node:14} {predicted:10} predicted {most:10} of {counted:10}", end="")
        assert abs(most - counted) <= LARGEST_ERROR * counted


LIGHT = """
import sys
from weft.engine import Engine
with Engine(store=sys.argv[1], device="cpu", precision="float16") as engine:
    plan = engine.plan(sys.argv[2])
assert "torch" not in sys.modules
print(plan.peak)
"""


def without_torch(store: Path, graph: Path) -> int:
    """What a plan says of the peak, in a process that imports no torch."""
    asked = [sys.executable, "-c", LIGHT, str(store), str(graph)]
    return int(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)


def test_a_long_text_is_counted_apart(tmp_path: Path) -> None:
    def graph(text: str) -> Graph:
        with Graph() as graph:
            graph.output("prompt", TextEncode(LoadCheckpoint(EMBEDDED).text_encoder, text))
        return graph

    with Engine(store=tmp_path / "store", device="cpu") as engine:
        short = needs(engine.plan(graph("a lake"), memory=True))
        assert needs(engine.plan(graph("a lake at night"))) == short
        assert not needs(engine.plan(graph("a lake at night, " * 30)))
        assert needs(engine.plan(graph("a lake at night, " * 30), memory=True))["text_encode"] > short["text_encode"]


def test_needs_are_those_of_the_device_and_known_later_without_torch(tmp_path: Path) -> None:
    with Graph() as graph:
        graph.output("prompt", TextEncode(LoadCheckpoint(EMBEDDED).text_encoder, "a lake"))
    plan, counted = plan_and_counts(graph, output=tmp_path, store=None, precision="float16")
    assert needs(plan) == counted and counted["text_encode"] > 0
    with Engine(store=tmp_path / "store", precision="float16") as engine:
        assert needs(engine.plan(graph, memory=True)) == counted
    graph.save(tmp_path / "again.json")
    assert without_torch(tmp_path / "store", tmp_path / "again.json") == counted["text_encode"]


@pytest.mark.slow
def test_needs_are_known_for_other_seeds_and_steps(tmp_path: Path) -> None:
    """`pytest -m slow tests/device/test_dry_device.py -k seeds`."""
    options: dict[str, Any] = {"store": tmp_path / "store", "precision": "float16"}
    plan, counted = plan_and_counts(graph_of(EMBEDDED, 32, steps=2), output=tmp_path, **options)
    assert needs(plan) == counted and counted["k_sampler"] > counted["text_encode"] > 0
    again = tmp_path / "again.json"
    graph_of(EMBEDDED, 32, seed=7, steps=2).save(again)
    with Engine(device="cpu", **options) as engine:
        assert needs(engine.plan(graph_of(EMBEDDED, 32, seed=7, steps=40)))["k_sampler"] == counted["k_sampler"]
        assert "k_sampler" not in needs(engine.plan(graph_of(EMBEDDED, 64)))
    assert without_torch(tmp_path / "store", again) == max(counted["k_sampler"], counted["vae_decode"])
