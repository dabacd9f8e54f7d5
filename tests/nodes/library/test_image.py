"""Pictures in and out."""

from __future__ import annotations

import random
import struct
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pictures

from tests.refusals import names, refused
from weft.engine import INJECTED, Artifact, Context, Engine, Graph, GraphError, InputError, NodeError, node
from weft.engine.events import Event, NodeFinished
from weft.nodes import Image, LoadImage, MaskToImage, SaveImage, ShapeMask

SAVED = threading.Event()

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


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_a_quality_decides_the_size(format: Any) -> None:
    picture = Image(torch.from_numpy(LEVELS[None, ..., :3]).float() / 255)
    small, large, usual = (SaveImage(picture, format=format, quality=quality)[0] for quality in (10, 95, None))
    assert len(small.data) < len(large.data)
    if format == "jpeg":
        assert usual == large
    else:
        assert numpy.array_equal(decoded(usual), LEVELS[..., :3])


def test_png_has_no_quality() -> None:
    with Graph() as graph:
        SaveImage(LoadImage("lake.png"), quality=90)
    problems = Engine(store=None, device="cpu").check(graph).problems
    assert "unused-input" in [problem.code for problem in problems]


def test_pictures_of_a_list_are_saved_in_order_whatever_their_sizes(tmp_path: Path) -> None:
    for number, size in enumerate(((3, 2), (5, 4)), 1):
        Pictures.new("RGB", size).save(tmp_path / f"{number}.png")
    with Graph() as one:
        one.output("image", LoadImage(one.parameter("path")))
    with Graph() as graph:
        SaveImage(one.each(path=["1.png", "2.png"]), name="frame")
    with Engine(store=None, device="cpu", inputs=[tmp_path], output=tmp_path / "out") as engine:
        paths = engine.run(graph).paths
    assert [path.name for path in map(Path, paths)] == ["frame_0001.png", "frame_0002.png"]
    assert [Pictures.open(path).size for path in paths] == [(3, 2), (5, 4)]


@node(lane="gpu")
def ComputesMeanwhile(number: int, *, context: Context = INJECTED) -> int:
    """A number; ends once a picture was packed in the meantime."""
    assert SAVED.wait(20)
    return number


def test_a_picture_is_packed_while_the_device_computes(tmp_path: Path) -> None:
    SAVED.clear()
    with Graph() as graph:
        SaveImage(MaskToImage(ShapeMask(8, 8)))
        graph.output("number", ComputesMeanwhile(1))

    def hear(event: Event) -> None:
        if isinstance(event, NodeFinished) and event.type == "SaveImage":
            SAVED.set()

    with Engine(store=None, device="cpu", output=tmp_path) as engine:
        assert engine.run(graph, listener=hear).outputs == {"number": 1}


@given(st.floats(0, 1, width=32))
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


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(kind: int, levels: list[list[int]], *more: bytes, depth: int = 16, end: bytes = b"") -> bytes:
    """A PNG of one row.

    Args:
        kind: of its colours: 0 is grey, 2 RGB, 3 a palette, 4 grey with alpha, 6 RGBA.
        more: chunks before the pixels.
        end: chunks behind the pixels.
    """
    bits = "".join(f"{level:0{depth}b}" for pixel in levels for level in pixel)
    row = bytes(int(bits[n : n + 8].ljust(8, "0"), 2) for n in range(0, len(bits), 8))
    head = struct.pack(">IIBBBBB", len(levels), 1, depth, kind, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(more) + pixels + end + chunk(b"IEND", b"")


def transparent(*levels: int) -> bytes:
    """The chunk that names a transparent level or colour."""
    return chunk(b"tRNS", struct.pack(f">{len(levels)}H", *levels))


PALETTE = chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0])) + chunk(b"tRNS", bytes([0, 51]))
ALPHAS = {
    "16-bit grey": (png(0, [[0], [1000], [65535]], transparent(65535)), [1, 1, 0]),
    "16-bit grey, black": (png(0, [[0], [1000], [65535]], transparent(0)), [0, 1, 1]),
    "16-bit grey with alpha": (png(4, [[0, 0], [1000, 65535]]), [0, 1]),
    "16-bit colours": (png(2, [[65535, 0, 0], [1000, 2000, 3000]], transparent(1000, 2000, 3000)), [1, 0]),
    "16-bit colours with alpha": (png(6, [[65535, 0, 0, 65535], [0, 0, 0, 0]]), [1, 0]),
    "8-bit grey": (png(0, [[0], [10], [255]], transparent(10), depth=8), [1, 0, 1]),
    "8-bit colours": (png(2, [[1, 2, 3], [3, 2, 1]], transparent(1, 2, 3), depth=8), [0, 1]),
    "4-bit grey": (png(0, [[0], [5], [15]], transparent(5), depth=4), [1, 0, 1]),
    "2-bit grey": (png(0, [[0], [1], [3]], transparent(1), depth=2), [1, 0, 1]),
    "1-bit grey": (png(0, [[0], [1], [0]], transparent(1), depth=1), [1, 0, 1]),
    "4-bit palette": (png(3, [[0], [1], [0]], PALETTE[:18] + chunk(b"tRNS", bytes([255, 0])), depth=4), [1, 0, 1]),
    "palette": (png(3, [[0], [1], [0]], PALETTE, depth=8), [0, 0.2, 0]),
}


@pytest.mark.parametrize("kind", ALPHAS)
def test_every_kind_of_transparency_is_the_fourth_channel(kind: str, folder: Path, load: Any) -> None:
    content, alpha = ALPHAS[kind]
    name = f"{kind.replace(' ', '_')}.png"
    (folder / name).write_bytes(content)
    assert load(name)[0, 0, :, 3].tolist() == pytest.approx(alpha)


def test_16_bit_grey_keeps_its_levels_with_and_without_transparency(folder: Path, load: Any) -> None:
    for number, more in enumerate(([], [transparent(7)])):
        (folder / f"grey_{number}.png").write_bytes(png(0, [[0], [1], [65535]], *more))
        assert torch.equal(load(f"grey_{number}.png")[0, 0, :, 0], torch.tensor([0, 1, 65535]).float() / 65535)


LONG = zlib.compress(b"x" * 2_000_000)
TEXTS = {
    "tEXt": chunk(b"tEXt", b"comment\0" + b"x" * 2_000_000),
    "zTXt": chunk(b"zTXt", b"comment\0\0" + LONG),
    "iTXt": chunk(b"iTXt", b"comment\0\1\0\0\0" + LONG),
    "iCCP": chunk(b"iCCP", b"profile\0\0" + LONG),
    "damaged": chunk(b"zTXt", b"comment\0\0damaged") + chunk(b"iTXt", b"") + chunk(b"tEXt", b"\0"),
    "many": chunk(b"zTXt", b"comment\0\0" + zlib.compress(b"x" * 900_000)) * 80,
}


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("kind", TEXTS)
def test_texts_of_any_length_do_not_keep_a_picture_from_being_read(
    kind: str, behind: bool, folder: Path, load: Any
) -> None:
    content = png(2, [[9, 8, 7]], b"" if behind else TEXTS[kind], depth=8, end=TEXTS[kind] if behind else b"")
    (folder / "text.png").write_bytes(content)
    assert (load("text.png") * 255).round().flatten().tolist() == [9, 8, 7]


@pytest.mark.parametrize("format", ["png", "jpg", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright_in_every_format(orientation: int, format: str, folder: Path, load: Any) -> None:
    exif = Pictures.Exif()
    exif[0x0112] = orientation
    Pictures.new("RGB", (16, 8), "red").save(folder / f"exif.{format}", exif=exif)
    assert load(f"exif.{format}").shape == ((1, 16, 8, 3) if orientation > 4 else (1, 8, 16, 3))


def test_a_cmyk_jpeg_is_read_in_rgb(folder: Path, load: Any) -> None:
    Pictures.new("CMYK", (8, 8), (0, 255, 255, 0)).save(folder / "cmyk.jpg", quality=100)
    assert load("cmyk.jpg")[0, 0, 0].tolist() == pytest.approx([1, 0, 0], abs=0.05)


@pytest.mark.parametrize("format", ["png", "webp"])
def test_the_first_picture_of_an_animation_is_read(format: str, folder: Path, load: Any) -> None:
    red, blue = (Pictures.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    red.save(folder / f"moving.{format}", save_all=True, append_images=[blue], lossless=True)
    assert load(f"moving.{format}").flatten(1, 2)[0, :, :3].mean(0).tolist() == [1, 0, 0]


def test_damaged_files_are_refused_or_read_and_raise_nothing_else(folder: Path, load: Any) -> None:
    chance = random.Random(7)
    exif = Pictures.Exif()
    exif[0x0112] = 6
    for format in ("png", "jpg", "webp"):
        Pictures.linear_gradient("L").resize((9, 9)).save(folder / f"whole.{format}", exif=exif)
        whole = (folder / f"whole.{format}").read_bytes()
        for _ in range(30):
            damaged = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(12, len(damaged))] = chance.randrange(256)
            (folder / f"damaged.{format}").write_bytes(damaged[: chance.choice([None, chance.randrange(12, 200)])])
            with suppress(InputError, NodeError, GraphError):
                load(f"damaged.{format}")


@pytest.mark.parametrize(
    ("format", "side", "fits"), [("webp", 16384, False), ("webp", 16383, True), ("png", 16384, True)]
)
def test_a_picture_larger_than_its_format_is_refused_before_a_run(format: str, side: int, fits: bool) -> None:
    with Graph() as graph:
        SaveImage(MaskToImage(ShapeMask(width=side, height=8)), format=format)  # type: ignore[arg-type]
    codes = [problem.code for problem in Engine(store=None, device="cpu").check(graph).problems]
    assert codes == ([] if fits else ["unwritable-picture"])
