"""One engine on several devices: a text encoder lies on another one than the network, and branches run side by side.

The pictures of two devices, and branches side by side: `pytest -m slow tests/device/test_several_devices.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.device.device_pictures import EMBEDDED
from tests.device.pretended import PretendedDevices
from weft.engine import Engine, Graph, events
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, TextEncode, VAEDecode

BOTH = "cuda:0,cuda:1"


@pytest.fixture
def cuda() -> Iterator[PretendedDevices]:
    with PretendedDevices("cuda") as devices:
        yield devices


def branches(count: int, steps: int = 2) -> Graph:
    """Pictures of different seeds by one model."""
    with Graph() as graph:
        parts: Any = LoadCheckpoint(EMBEDDED)
        guide = CFGGuide(parts.model, TextEncode(parts.text_encoder, "a lake"), scale=4.0)
        for seed in range(count):
            latent = KSampler(guide, EmptyLatent(32, 32), seed=seed, steps=steps, sampler="euler")
            graph.output(f"image_{seed}", VAEDecode(parts.vae, latent))
    return graph


def painted(graph: Graph, device: str, heard: list[events.Event]) -> Sequence[torch.Tensor]:
    with Engine(store=None, device=device, precision="float32") as engine:
        result = engine.execute(engine.plan(graph), listener=heard.append)
    assert result.status == "done", [str(one) for one in result.failures]
    return [one.pixels for one in result.outputs.values()]


@pytest.mark.slow
def test_pictures_of_two_devices_are_those_of_one(cuda: PretendedDevices) -> None:
    alone: list[events.Event] = []
    together: list[events.Event] = []
    want = painted(branches(3), "cuda:0", alone)
    assert cuda["cuda:1"].peak == 0 and {*cuda.current} == {0}
    got = painted(branches(3), BOTH, together)
    assert all(torch.equal(one, other) for one, other in zip(want, got, strict=True))
    assert cuda["cuda:1"].peak > 0 and cuda.held == 0
    assert {*cuda.current} == {0, 1}, "what names no device is on that of its node"
    assert sorted(map(str, map(type, alone))) == sorted(map(str, map(type, together)))


@pytest.mark.slow
def test_branches_run_side_by_side(cuda: PretendedDevices) -> None:
    samplers: list[str] = []

    def hear(event: events.Event) -> None:
        if isinstance(event, (events.NodeStarted, events.NodeFinished)) and event.type == "KSampler":
            samplers.append(type(event).__name__)

    with Engine(store=None, device=BOTH, precision="float32") as engine:
        engine.run(branches(1))  # then it is known what samplers use, and one device has it
        engine.run(branches(2, steps=8), listener=hear)
    assert samplers[:2] == ["NodeStarted"] * 2, "the second one begins before the first one ends"


def test_a_text_encoder_stays_on_another_device_than_the_network(cuda: PretendedDevices) -> None:
    with Engine(store=None, device=BOTH, precision="float32") as engine:
        for _ in range(2):
            engine.run(branches(1))
        held = {device: engine._residency.holdings(device) for device in BOTH.split(",")}
    kinds = {device: {one.what.partition("(")[0] for one in found} for device, found in held.items()}
    assert not kinds["cuda:0"] & kinds["cuda:1"], "nothing is there twice"
    assert all(kinds.values())


def test_a_failure_on_one_device_ends_its_branch_alone(cuda: PretendedDevices, tmp_path: Path) -> None:
    graph = branches(2)
    with Engine(store=None, device=BOTH, precision="float32", output=tmp_path) as engine:
        engine.run(branches(1))
        for device in BOTH.split(","):
            cuda[device].capacity = 8192
        result = engine.execute(engine.plan(graph))
        assert result.status == "failed" and result.failures
        for device in BOTH.split(","):
            cuda[device].capacity = 2**50
        assert engine.execute(engine.plan(graph)).status == "done"
    assert cuda.held == 0
