"""Networks of every family that are recorded sample what they sampled before: `pytest -m slow` with this file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.nodes.models.test_captured_network import Recorder
from weft.engine import INJECTED, Context, Engine, Graph, node
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, TextEncode
from weft.nodes.models.captured_network import WARM_UP, CapturedCalls

APART = ("qwen-image", "z-image")
"""Whose prompts of two lengths take a call each."""


@node
def LendContext(*, context: Context = INJECTED) -> Any:
    """The context of its own call."""
    return context


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sd2", "sdxl", "sd3", "flux-dev", "z-image", "qwen-image"])
def test_latents_are_those_of_the_network(name: str, zoo: Callable[[str], str], engine: Engine) -> None:
    with Graph() as graph:
        checkpoint = LoadCheckpoint(zoo(name))
        prompts = [TextEncode(checkpoint.text_encoder, text) for text in ("a red house", "")]
        graph.output("guide", CFGGuide(checkpoint.model, *prompts[: 1 if name == "flux-dev" else 2], scale=4.0))
        graph.output("latent", EmptyLatent(64, 64, 2))
    given: Any = {**engine.run(graph).outputs, "steps": 6}
    call: Any = engine.run_now
    want = call(KSampler, given).samples
    recorder = Recorder()
    with call(LendContext, {}).weights(given["guide"].model) as denoiser:
        network = denoiser.network
        vars(network)["forward"] = CapturedCalls(network, network.forward, recorder)
        try:
            assert torch.equal(call(KSampler, given).samples, want)
        finally:
            del vars(network)["forward"]
    assert recorder.recorded == (2 if name in APART else 1)
    assert recorder.replayed == recorder.recorded * (6 - WARM_UP)
