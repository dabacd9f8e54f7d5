"""On a CUDA device: the same picture as on the CPU in float32, and nearly the same in half precision.

Run with: pytest -m gpu
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weft.engine import Engine, Graph

pytestmark = pytest.mark.gpu

GRAPHS = Path(__file__).parents[2] / "graphs"

Paint = Callable[..., Any]


@pytest.fixture
def paint(tmp_path: Path) -> Paint:
    """The picture of an example graph `[height, width, channel]`, as floats in 0..255."""
    import numpy
    from PIL import Image

    def painted(device: str, precision: str, name: str = "text_to_image", **settings: Any) -> Any:
        graph = Graph.load(GRAPHS / f"{name}.json")
        for target, value in settings.items():
            graph = graph.set(target.replace("__", "."), value)
        with Engine(store=None, device=device, precision=precision, output=tmp_path / "output") as engine:
            paths = engine.run(graph).paths
        return numpy.stack([numpy.asarray(Image.open(path).convert("RGB"), float) for path in paths])

    return painted


@pytest.mark.parametrize("name", ["text_to_image", "image_to_image"])
def test_float32_paints_what_the_cpu_paints(paint: Paint, name: str) -> None:
    assert abs(paint("cuda", "float32", name) - paint("cpu", "float32", name)).max() <= 1


def test_an_item_is_the_same_alone_and_in_a_batch(paint: Paint) -> None:
    batch = paint("cuda", "float32", "batch")
    alone = [paint("cuda", "float32", "batch", count=1, seed=100 + item)[0] for item in range(len(batch))]
    assert max(abs(one - other).max() for one, other in zip(batch, alone, strict=True)) <= 1


@pytest.mark.parametrize("precision", ["auto", "float16", "bfloat16"])
def test_half_precision_paints_nearly_the_same(paint: Paint, precision: str) -> None:
    assert abs(paint("cuda", precision) - paint("cpu", "float32")).mean() <= 8
