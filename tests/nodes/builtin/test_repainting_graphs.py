"""What the graphs that ship make of 100 pictures each: `inpaint_detail` follows its prompt, `outpaint` its horizon.

It takes some ten minutes on a core: `pytest -m slow -s tests/nodes/builtin/test_repainting_graphs.py`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures
from torch import Tensor

from tests.imports import ROOT
from tests.nodes.builtin.test_repainting import (
    MARGIN,
    drawn,
    empty_scenes,
    horizon,
    horizon_found,
    house_box,
    redness,
)
from weft.engine import Engine, Graph
from weft.nodes import Mask, ScaleImageBy
from weft.nodes.builtin.training.captions import full_caption
from weft.nodes.builtin.training.dataset import draw_scenes

COUNT = 100
SIDE, ADDED, STRIP = 128, 64, 16


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(store=None, device="cpu", history=False, inputs=[tmp_path], output=tmp_path / "out")


def painted(engine: Engine, name: str, **parameters: Any) -> Tensor:
    """The picture `[height, width, 3]` that a graph that ships paints."""
    graph: Any = Graph.load(ROOT / "graphs" / f"{name}.json")
    (path,) = engine.run(graph.replace(**parameters)).paths
    levels = numpy.asarray(Pictures.open(path))
    path.unlink()
    return torch.from_numpy(levels.copy()) / 255


def twice_as_large(engine: Engine, given: Any) -> Any:
    """A picture or a mask as the graph scales it."""
    scale: Any = ScaleImageBy
    return engine.run_now(scale, {"image": given, "factor": 2.0})


@pytest.mark.slow
def test_inpaint_detail_follows_its_prompt_and_leaves_the_outside(engine: Engine, tmp_path: Path) -> None:
    """A house stands where one is named, and none where none is; every pixel outside of the mask is the picture's."""
    numbers, houses, others = numpy.random.default_rng(5), 0, 0
    for item, scene in enumerate(empty_scenes(COUNT)):
        picture, coverage = drawn(scene), house_box(scene.place)
        picture.to_pil()[0].save(tmp_path / "scene.png")
        Pictures.fromarray((255 * coverage[0]).byte().numpy()).save(tmp_path / "box.png")
        large = twice_as_large(engine, picture).to_pil()[0]
        before = torch.from_numpy(numpy.asarray(large).copy()) / 255
        outside = twice_as_large(engine, Mask(coverage)).coverage[0] == 0
        for subject in ("house", "none"):
            caption = full_caption(replace(scene, subject=subject), numbers)
            made = painted(engine, "inpaint_detail", picture="scene.png", mask="box.png", prompt=caption, seed=item)
            assert torch.equal(made[outside], before[outside])
            found = redness(made[None, ::2, ::2], coverage) > 0.03
            houses += found and subject == "house"
            others += found and subject == "none"
    print(f"inpaint_detail: a house in {houses} of {COUNT} where one is named, in {others} where none is")
    assert houses >= 0.9 * COUNT and others <= 0.05 * COUNT


@pytest.mark.slow
def test_outpaint_goes_on_from_the_horizon(engine: Engine, tmp_path: Path) -> None:
    """In the columns next to the seam; and what is not in the strip at the seam stays as it was."""
    numbers, right = numpy.random.default_rng(3), 0
    for item, one in enumerate(draw_scenes(COUNT, 77)):
        scene = replace(one, subject="none")
        drawn(scene).to_pil()[0].save(tmp_path / "scene.png")
        made = painted(engine, "outpaint", picture="scene.png", prompt=full_caption(scene, numbers), seed=item)
        before = torch.from_numpy(numpy.asarray(Pictures.open(tmp_path / "scene.png")).copy()) / 255
        assert made.shape == (SIDE, SIDE + ADDED, 3)
        assert torch.equal(made[:, : SIDE - STRIP], before[:, : SIDE - STRIP])
        right += abs(horizon_found(made, slice(SIDE, SIDE + 16), horizon(scene)) - horizon(scene)) <= MARGIN
    print(f"outpaint: the horizon goes on within {MARGIN} rows in {right} of {COUNT}")
    assert right >= 0.9 * COUNT
