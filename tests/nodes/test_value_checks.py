"""Values that nodes make are checked where they enter: shape, type, device, finite numbers; pictures are clamped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weft.engine import Engine, Graph, InputError, NodeError, node, value
from weft.engine.output_value import plain_output
from weft.nodes import Image, ImageGrid, ImageToMask, Latent, Mask, SaveImage, Sigmas
from weft.nodes.values import Conditioning, Prompt, TextEncoder

PICTURE = torch.rand(1, 4, 6, 3, generator=torch.Generator().manual_seed(0))
NAN, HUGE = float("nan"), float("inf")


def put(tensor: torch.Tensor, number: float) -> torch.Tensor:
    changed = tensor.clone()
    changed.flatten()[3] = number
    return changed


def prompt(embeddings: torch.Tensor) -> Conditioning[Any]:
    return Conditioning((Prompt(embeddings, TextEncoder("0" * 64, "sd1", "", "float32")),))


BROKEN: dict[str, Callable[[], object]] = {
    "three dimensions": lambda: Image(PICTURE[0]),
    "sparse": lambda: Image(PICTURE.to_sparse()),
    "channels first": lambda: Image(PICTURE.permute(0, 3, 1, 2)),
    "float64": lambda: Image(PICTURE.double()),
    "bytes": lambda: Image((PICTURE * 255).byte()),
    "array": lambda: Image(PICTURE.numpy()),  # type: ignore[arg-type]
    "gradients": lambda: Image(PICTURE.clone().requires_grad_()),
    "no pixels": lambda: Image(PICTURE[:, :0]),
    "not a number": lambda: Image(put(PICTURE, NAN)),
    "infinite": lambda: Image(put(PICTURE, -HUGE)),
    "mask of a channel": lambda: Mask(PICTURE),
    "mask not finite": lambda: Mask(put(PICTURE[..., 0], NAN)),
    "latent of another batch": lambda: Latent(16, 16, 2, torch.zeros(1, 4, 2, 2)),
    "latent not finite": lambda: Latent(16, 16, 1, put(torch.zeros(1, 4, 2, 2), HUGE)),
    "latent without a size": lambda: Latent(0, 16, 1),
    "latent of half a pixel": lambda: Latent(16.5, 16, 1),  # type: ignore[arg-type]
    "one level": lambda: Sigmas(torch.tensor([1.0])),
    "levels not finite": lambda: Sigmas(torch.tensor([HUGE, 1.0, 0.0])),
    "embeddings not finite": lambda: prompt(put(torch.zeros(1, 77, 8), NAN)),
    "embeddings of one token": lambda: prompt(torch.zeros(77, 8)),
    "in a list": lambda: [Image(PICTURE), Image(put(PICTURE, NAN))],
}


def given_by_a_node(make: Callable[[], object]) -> object:
    @node
    def Make() -> object:
        return make()

    with Graph() as graph:
        graph.output("made", Make())
    with Engine(store=None) as engine:
        return engine.run(graph).outputs["made"]


@pytest.mark.parametrize("name", BROKEN)
def test_a_value_that_nothing_can_use_is_the_fault_of_the_node_that_gives_it(name: str) -> None:
    with pytest.raises(NodeError) as caught:
        given_by_a_node(BROKEN[name])
    assert caught.value.node == "make" and isinstance(caught.value.cause, InputError)
    assert caught.value.cause.code in ("not-finite", "wrong-tensor") and caught.value.cause.hint


@pytest.mark.parametrize("name", [name for name in BROKEN if isinstance(BROKEN[name](), Image)])
def test_a_node_that_is_called_at_once_refuses_such_a_value(name: str) -> None:
    with pytest.raises(InputError) as caught:
        ImageGrid([BROKEN[name]()])  # type: ignore[list-item]
    assert caught.value.code in ("not-finite", "wrong-tensor")


@given(st.lists(st.floats(-300, 300, width=32), min_size=12, max_size=12))
def test_levels_are_clamped_and_rounded_to_the_nearest(levels: list[float]) -> None:
    pixels = torch.tensor(levels, dtype=torch.float32).reshape(1, 2, 2, 3)
    found = numpy.asarray(Image(pixels).to_pil()[0]).flatten()
    expected = [min(255, max(0, int(numpy.rint(numpy.float32(one) * numpy.float32(255))))) for one in levels]
    assert found.tolist() == expected


def test_a_picture_beyond_the_range_is_saved_clamped(tmp_path: Path) -> None:
    (path,) = Image(torch.full((1, 2, 2, 3), 1.2)).save(tmp_path / "white.png")
    assert SaveImage(Image(torch.full((1, 2, 2, 3), -0.1)))[0].data
    import PIL.Image

    assert PIL.Image.open(path).getpixel((0, 0)) == (255, 255, 255)


def test_a_picture_that_is_not_finite_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        Image(put(PICTURE, NAN)).save(tmp_path / "black.png")
    assert caught.value.code == "not-finite" and not [*tmp_path.iterdir()]


def test_masks_are_clamped_where_they_are_made_of_pictures() -> None:
    mask = ImageToMask(Image(PICTURE * 4 - 2), channel="red", invert=True)
    assert mask.coverage.min() == 0 and mask.coverage.max() == 1


@node
def Floats() -> list[float]:
    """Numbers of several kinds."""
    return [0, 1.5, numpy.float64(2), numpy.float32(0.5)]  # type: ignore[list-item]


@node
def Whole() -> int:
    """A whole number of NumPy."""
    return numpy.int64(7)  # type: ignore[return-value]


@node
def Bounded(x: float) -> float:
    """`max` gives the literal 0, an int."""
    return max(0, x)


@node
def Maybe(x: bool) -> float | None:
    """A number or nothing."""
    return 3 if x else None


def test_numbers_that_nodes_give_become_what_their_annotations_say() -> None:
    with Graph() as graph:
        links = {
            "floats": Floats(),
            "whole": Whole(),
            "bounded": Bounded(-1.5),
            "some": Maybe(True),
            "none": Maybe(False),
        }
        for name, link in links.items():
            graph.output(name, link)
    with Engine(store=None) as engine:
        outputs = engine.run(graph).outputs
    assert outputs == {"floats": [0.0, 1.5, 2.0, 0.5], "whole": 7, "bounded": 0.0, "some": 3.0, "none": None}
    assert {type(one) for one in outputs["floats"]} == {float} and type(outputs["whole"]) is int
    assert type(outputs["bounded"]) is float and plain_output(outputs["bounded"]) == {"value": 0.0}


def test_a_number_that_would_lose_something_is_still_refused() -> None:
    @node
    def Half() -> int:
        return 1.5  # type: ignore[return-value]

    @node
    def Yes() -> int:
        return True

    for wrong in (Half, Yes):
        with Graph() as graph:
            graph.output("x", wrong())
        with Engine(store=None) as engine, pytest.raises(NodeError) as caught:
            engine.run(graph)
        assert isinstance(caught.value.cause, TypeError)


def test_a_value_class_of_another_library_checks_itself() -> None:
    from dataclasses import dataclass

    @value
    @dataclass(frozen=True)
    class EvenNumber:
        number: int

        def check_value(self) -> None:
            if self.number % 2:
                raise InputError(f"{self.number} is odd", "give an even number", "odd-number")

    assert given_by_a_node(lambda: EvenNumber(4)) == EvenNumber(4)
    with pytest.raises(NodeError) as caught:
        given_by_a_node(lambda: {"a": (EvenNumber(5),)})
    assert isinstance(caught.value.cause, InputError) and caught.value.cause.code == "odd-number"
