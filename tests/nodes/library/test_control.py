"""ApplyControlNet: what it adds to prompts; what it does to predictions is in `test_guidance.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Pictures

from tests.refusals import names
from weft.engine import Engine, Graph, Link
from weft.nodes import ApplyControlNet, Image, LoadCheckpoint, LoadControlNet, LoadImage, TextEncode

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def inputs(call: Call) -> dict[str, Any]:
    encoder = call(LoadCheckpoint, source="epsilon").text_encoder
    positive, negative = (call(TextEncode, text_encoder=encoder, text=text) for text in ("a house", "night"))
    image = Image(torch.rand(1, 16, 16, 4))
    return {
        "positive": positive,
        "negative": negative,
        "control_net": call(LoadControlNet, source="edges"),
        "image": image,
    }


def test_controls_follow_each_other(call: Call, inputs: Any) -> None:
    first = call(ApplyControlNet, **inputs)
    second = call(ApplyControlNet, **{**inputs, "positive": first.positive, "negative": first.negative}, strength=0.5)
    assert [control.strength for control in second.positive.prompts[0].controls] == [1.0, 0.5]
    assert [control.strength for control in second.negative.prompts[0].controls] == [1.0, 0.5]
    assert inputs["positive"].prompts[0].controls == ()


def test_alpha_is_left_out(call: Call, inputs: Any) -> None:
    (control,) = call(ApplyControlNet, **inputs).positive.prompts[0].controls
    assert torch.equal(control.image, inputs["image"].pixels[..., :3])


def graph_of(picture: str, **options: Any) -> Graph:
    with Graph(outputs={"positive": Link("apply_control_net", "positive")}) as graph:
        prompt = TextEncode(LoadCheckpoint("epsilon").text_encoder, "a house")
        ApplyControlNet(prompt, None, LoadControlNet("edges"), LoadImage(picture), **options)
    return graph


def test_an_end_before_the_start_is_a_problem_of_the_graph(engine: Engine) -> None:
    (problem,) = engine.check(graph_of("ramp.png", start=0.6, end=0.4)).problems
    assert (problem.code, problem.node, problem.input) == ("empty-interval", "apply_control_net", "end")
    assert problem.hint and names(problem, 0.4, 0.6)


def test_a_picture_with_alpha_goes_through_a_store(models: Path, tmp_path: Path) -> None:
    Pictures.new("RGBA", (8, 8), (255, 0, 0, 128)).save(tmp_path / "clear.png")
    engine = Engine(store=tmp_path / "store", device="cpu", models=[models], inputs=[tmp_path])
    engine.run(graph_of("clear.png"))
    again = Engine(store=tmp_path / "store", device="cpu", models=[models], inputs=[tmp_path]).run(
        graph_of("clear.png")
    )
    assert not again.ran
    assert again.outputs["positive"].prompts[0].controls[0].image.shape == (1, 8, 8, 3)
