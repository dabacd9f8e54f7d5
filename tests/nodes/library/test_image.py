"""Pictures in and out."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pictures

from tests.refusals import names, refused
from weft.engine import Artifact, Engine, Graph, GraphError
from weft.nodes import Image, LoadImage, SaveImage

LEVELS = numpy.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=numpy.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loaded")


@pytest.fixture(scope="module")
def load(folder: Path) -> Callable[[str], torch.Tensor]:
    """The pixels of a file in the folder."""
    engine = Engine(store=None, device="cpu", inputs=[folder])

    def run(name: str) -> torch.Tensor:
        image: Image = engine.run_now(LoadImage, {"path": name})  # type: ignore[arg-type]
        return image.pixels

    return run


def decoded(artifact: Artifact) -> Any:
    return numpy.asarray(Pictures.open(BytesIO(artifact.data)))


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("format", ["png", "webp"])
def test_a_saved_picture_loads_as_it_was(folder: Path, load: Any, format: str, channels: int) -> None:
    pixels = torch.from_numpy(LEVELS[None, ..., :channels]).float() / 255
    (artifact,) = SaveImage(Image(pixels), format=format)  # type: ignore[arg-type]
    (folder / f"kept.{format}").write_bytes(artifact.data)
    assert artifact.media_type == f"image/{format}"
    assert torch.equal(load(f"kept.{format}"), pixels)


def test_jpeg_is_near_and_leaves_alpha_out() -> None:
    smooth = torch.linspace(0, 1, 32)[None, :, None, None].expand(1, 32, 32, 4)
    (artifact,) = SaveImage(Image(smooth), format="jpeg")
    assert decoded(artifact).shape == (32, 32, 3)
    assert numpy.abs(decoded(artifact) - smooth[0, ..., :3].numpy() * 255).max() < 6


@given(st.floats(0, 1, width=32))
@settings(deadline=None)
def test_values_are_rounded_to_the_nearest_level(value: float) -> None:
    (artifact,) = SaveImage(Image(torch.full((1, 1, 1, 3), value)))
    assert abs(int(decoded(artifact)[0, 0, 0]) / 255 - value) <= 0.5 / 255 + 1e-7


def test_a_batch_is_one_file_an_item_with_the_same_bytes_each_time() -> None:
    pixels = torch.from_numpy(numpy.stack([LEVELS, LEVELS[::-1]])).float() / 255
    once, again = SaveImage(Image(pixels), "pair"), SaveImage(Image(pixels), "pair")
    assert [artifact.name for artifact in once] == ["pair", "pair"]
    assert once == again and once[0].data != once[1].data


def test_a_photograph_is_turned_upright(folder: Path, load: Any) -> None:
    exif = Pictures.Exif()
    exif[0x0112] = 6  # the camera was turned: the right side is up
    Pictures.fromarray(LEVELS[..., :3]).save(folder / "turned.png", exif=exif)
    expected = numpy.rot90(LEVELS[..., :3], -1)
    assert numpy.array_equal((load("turned.png")[0] * 255).round().numpy(), expected)


def test_grey_of_16_bits_keeps_its_depth(folder: Path, load: Any) -> None:
    grey = numpy.linspace(0, 65535, 30, dtype=numpy.uint16).reshape(5, 6)
    Pictures.fromarray(grey).save(folder / "depth.png")
    pixels = load("depth.png")
    assert pixels.shape == (1, 5, 6, 3)
    assert numpy.allclose(pixels[0, ..., 0].numpy() * 65535, grey, atol=0.01)


def test_palettes_and_grey_become_colours(folder: Path, load: Any) -> None:
    picture = Pictures.fromarray(LEVELS[..., :3])
    picture.convert("P").save(folder / "palette.png")
    picture.convert("L").save(folder / "grey.jpg")
    assert load("palette.png").shape == load("grey.jpg").shape == (1, 6, 5, 3)


def test_a_file_that_is_no_picture_is_a_problem_of_the_graph(folder: Path) -> None:
    (folder / "text.png").write_text("this is no picture")
    with Graph() as graph:
        SaveImage(LoadImage("text.png"))
    (problem,) = Engine(store=None, device="cpu", inputs=[folder]).check(graph).problems
    assert (problem.code, problem.node, problem.input) == ("wrong-kind-of-file", "load_image", "path")
    assert names(problem, "text.png") and problem.hint


def test_a_damaged_picture_is_refused(folder: Path, load: Any) -> None:
    (artifact,) = SaveImage(Image(torch.rand(1, 64, 64, 3)))
    (folder / "cut.png").write_bytes(artifact.data[: len(artifact.data) // 2])
    with refused("damaged-file", "cut.png"):
        load("cut.png")


@pytest.mark.parametrize("name", ["", "../out", "/tmp/out", "a/../../b", "nul", "a\0b", "x" * 300])
def test_a_name_that_would_leave_the_output_folder_is_refused(folder: Path, name: str) -> None:
    (folder / "any.png").write_bytes(SaveImage(Image(torch.rand(1, 2, 2, 3)))[0].data)
    with Graph() as graph:
        SaveImage(LoadImage("any.png"), name=name)
    with pytest.raises(GraphError) as caught:
        Engine(store=None, device="cpu", inputs=[folder]).plan(graph)
    (problem,) = caught.value.problems
    assert (problem.code, problem.node, problem.input) == ("malformed-path", "save_image", "name") and problem.hint
