"""A device with too little memory: weights are evicted before others are loaded, pictures decoded in tiles, networks
sent to the device in parts, and the picture is the same; where nothing helps, what holds memory is named.

The slow ones: `pytest -m slow tests/nodes/families/test_short_memory.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.device.pretended import MIB, PretendedDevices
from tests.nodes.families.conftest import Zoo
from weft.engine import Engine, Graph, InputError, events
from weft.engine.store.memory import MemoryStore
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, TextEncode, VAEDecode

PROMPT = "a lake"
SIDE = 64

SHARE = 0.6
"""Of what is needed where there is room: the text encoders, of which most is vocabulary, take seven tenths of it."""


TILED_SHARE = 0.8
"""Of what decoding whole takes; in strips a tiny VAE, whose layers are few, takes a little less."""


@pytest.fixture
def cuda() -> Iterator[PretendedDevices]:
    with PretendedDevices("cuda") as devices:
        yield devices


def painting(name: str, side: int = SIDE) -> Graph:
    with Graph() as graph:
        parts = LoadCheckpoint(name)
        guide = CFGGuide(parts.model, TextEncode(parts.text_encoder, PROMPT), None, scale=1.0)
        latent = KSampler(guide, EmptyLatent(width=side, height=side), seed=1, steps=2, sampler="euler")
        graph.output("image", VAEDecode(parts.vae, latent))
    return graph


def sampling_by_two_prompts(name: str, side: int) -> Graph:
    with Graph() as graph:
        parts = LoadCheckpoint(name)
        prompts = [TextEncode(parts.text_encoder, text) for text in (PROMPT, "night")]
        guide = CFGGuide(parts.model, *prompts, scale=4.0)
        graph.output("latent", KSampler(guide, EmptyLatent(side, side), seed=1, steps=2, sampler="euler"))
    return graph


class Painted:
    """A graph that was run on the pretended device: its result, what was heard, and bytes."""

    def __init__(
        self, cuda: PretendedDevices, graph: Graph, models: Path, counted: bool = False, **budget: Any
    ) -> None:
        heard: list[events.Event] = []
        cuda.reset()
        given: dict[str, Any] = {"store": None, "models": [models], **budget}
        with Engine(device="cuda:0", precision="float32", **given) as engine:
            self.result = engine.execute(engine.plan(graph, memory=counted), listener=heard.append)
        self.peak = self.result.peak
        self.reliefs = [one for one in heard if isinstance(one, events.MemoryRelieved)]
        self.left = cuda.held

    @property
    def pixels(self) -> torch.Tensor:
        assert self.result.status == "done", [str(one) for one in self.result.failures]
        pixels: torch.Tensor = self.result.outputs["image"].pixels
        return pixels


BUDGETS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "what the device has": ({}, {"streamed"}),
    "a byte": ({"weights": 1}, {"streamed"}),
    "more than the device has": ({"weights": 2**50}, {"retried", "streamed"}),
}
"""Of weights, and what is done where the device has too little memory."""

CASES = [
    pytest.param(name, budget, marks=() if (name, budget) == ("sdxl", "what the device has") else pytest.mark.slow)
    for name in ("sdxl", "flux-dev")
    for budget in BUDGETS
]


@pytest.mark.parametrize(("name", "budget"), CASES)
def test_a_picture_fits_into_less_than_its_models_need_together(
    cuda: PretendedDevices, zoo: Zoo, models: Path, name: str, budget: str
) -> None:
    graph, (given, done) = painting(zoo(name)), BUDGETS[budget]
    free = Painted(cuda, graph, models)
    assert not free.reliefs and not free.left
    cuda["cuda:0"].capacity = int(SHARE * free.peak)
    short = Painted(cuda, graph, models, **given)
    print(f"\n{name}, {budget}: {short.peak / free.peak:.2f}", *short.reliefs, sep="\n  ")
    assert torch.equal(short.pixels, free.pixels)
    assert short.peak <= cuda["cuda:0"].capacity
    assert {one.action for one in short.reliefs} >= done
    assert not short.left


def test_a_sampler_loads_its_network_once_where_nothing_stays_in_memory() -> None:
    heard: list[events.Event] = []
    with Engine(store=None, device="cpu", weights=1) as engine:
        engine.run(sampling_by_two_prompts("builtin:landscapes", 32), listener=heard.append)
    reliefs = [one for one in heard if isinstance(one, events.MemoryRelieved) and one.type == "KSampler"]
    assert [one.action for one in reliefs] == ["evicted"]


@pytest.mark.slow
def test_a_large_picture_is_decoded_in_tiles_where_it_does_not_fit(
    cuda: PretendedDevices, zoo: Zoo, models: Path
) -> None:
    graph = painting(zoo("sd2"), side=384)
    free = Painted(cuda, graph, models)
    cuda["cuda:0"].capacity = int(TILED_SHARE * free.peak)
    short = Painted(cuda, graph, models)
    assert (short.pixels - free.pixels).abs().max() <= 1 / 255
    assert [one.what for one in short.reliefs if one.action == "retried"][-1].endswith("in tiles")
    assert short.result.warnings[-1].code == "out-of-memory"
    assert short.peak <= cuda["cuda:0"].capacity


@pytest.mark.slow
def test_prompts_are_computed_one_after_the_other_where_both_do_not_fit(
    cuda: PretendedDevices, zoo: Zoo, models: Path
) -> None:
    graph = sampling_by_two_prompts(zoo("sd2"), 384)
    whole: dict[str, Any] = {"offload": "none", "weights": 0}
    free = Painted(cuda, graph, models, **whole)
    cuda["cuda:0"].capacity = int(TILED_SHARE * free.peak)
    short = Painted(cuda, graph, models, **whole)
    want, found = (one.result.outputs["latent"].samples for one in (free, short))
    print(f"\n{short.peak / free.peak:.2f} of the memory, {float((want - found).abs().max())} apart", *short.reliefs)
    assert torch.allclose(want, found, atol=1e-4)
    assert [one.what for one in short.reliefs if one.action == "retried"][-1].endswith("for each prompt")


@pytest.mark.slow
@pytest.mark.parametrize("known", ["by a plan", "by a run", "by a run that ran out"])
def test_prompts_are_computed_one_after_the_other_at_once_where_both_are_known_not_to_fit(
    cuda: PretendedDevices, zoo: Zoo, models: Path, known: str
) -> None:
    graph = sampling_by_two_prompts(zoo("sd2"), 384)
    whole: dict[str, Any] = {"offload": "none", "weights": 0, "store": MemoryStore()}
    free = Painted(cuda, graph.set("k_sampler.seed", 2), models, **whole | {"store": None})
    if known == "by a run":
        Painted(cuda, graph.set("k_sampler.seed", 2), models, **whole)
    cuda["cuda:0"].capacity = int(TILED_SHARE * free.peak)
    if known == "by a run that ran out":
        Painted(cuda, graph.set("k_sampler.seed", 2), models, **whole)
    short = Painted(cuda, graph, models, counted=known == "by a plan", **whole)
    assert [(one.action, one.what) for one in short.reliefs if one.type == "KSampler" and one.action != "evicted"] == [
        ("foreseen", "with a call of the network for each prompt")
    ]
    assert short.result.status == "done"
    assert "out-of-memory" not in {one.code for one in short.result.warnings}
    assert short.peak <= cuda["cuda:0"].capacity


def test_where_nothing_helps_what_holds_memory_is_named(cuda: PretendedDevices, zoo: Zoo, models: Path) -> None:
    cuda["cuda:0"].capacity = MIB // 2
    (failure, *_) = Painted(cuda, painting(zoo("sd2")), models).result.failures
    assert isinstance(failure.cause, InputError) and failure.cause.code == "out-of-memory"
    assert "--weights" in failure.cause.hint and "--offload" in failure.cause.hint


def test_what_holds_memory_is_named_with_its_size_where_nothing_is_left_to_do(
    cuda: PretendedDevices, zoo: Zoo, models: Path
) -> None:
    graph = painting(zoo("sd2"), side=256)
    cuda["cuda:0"].capacity = 2 * MIB
    heard = Painted(cuda, graph, models, offload="sequential")
    (failure, *_) = heard.result.failures
    assert isinstance(failure.cause, InputError) and failure.cause.code == "out-of-memory"
    assert re.search(r"(TextEncoder|Model|VAE)\(.*\) \(\d+(\.\d)? [kM]B", failure.cause.message)
    assert not heard.left
