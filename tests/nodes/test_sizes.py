"""Sizes that headers and literals tell are checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pictures

from tests.refusals import names
from weft.engine import Engine, Graph, Problem, Upstream
from weft.engine.checking.checker import Checked
from weft.nodes import (
    CFGGuide,
    CropImage,
    CropToAspect,
    EditGuide,
    FlipImage,
    ImageToMask,
    InpaintGuide,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    PadImage,
    RotateImage,
    SaveImage,
    ScaleImage,
    ScaleImageBy,
    ScaleImageToPixels,
    TextEncode,
    VAEDecode,
    VAEEncode,
)
from weft.nodes.sizes import size_above, size_of

Change = Callable[[Any], Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    exif = Pictures.Exif()
    exif[0x0112] = 6
    Pictures.new("RGB", (300, 225), "teal").save(folder / "small.jpg")
    Pictures.new("RGB", (640, 360), "teal").save(folder / "wide.jpg", exif=exif)
    return folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return Engine(store=None, device="cpu", inputs=[folder])


def encoded(engine: Engine, change: Change, name: str = "small.jpg") -> Checked:
    with Graph() as graph:
        checkpoint = LoadCheckpoint("builtin:landscapes")
        SaveImage(VAEDecode(checkpoint.vae, VAEEncode(checkpoint.vae, change(LoadImage(name)))))
    return engine.check(graph)


def problem_of(checked: Checked) -> Problem:
    (problem,) = checked.problems
    return problem


def test_a_picture_that_the_vae_cannot_encode_is_a_problem_that_names_the_way_out(engine: Engine) -> None:
    problem = problem_of(encoded(engine, lambda image: image))
    assert (problem.code, problem.node, problem.input) == ("wrong-size", "vae_encode", "image")
    assert names(problem, 300, 225, "ScaleImage", "CropImage", 296, 224)


FITTING: dict[str, Change] = {
    "scaled": lambda image: ScaleImage(image, 0, 128, multiple=8),
    "by pixels": lambda image: ScaleImageToPixels(image, 0.05),
    "doubled": lambda image: ScaleImageBy(image, 8.0),
    "cropped": lambda image: CropImage(image, multiple=8),
    "square": lambda image: CropToAspect(image, multiple=8),
    "padded": lambda image: PadImage(image, multiple=8).image,
    "mirrored": lambda image: FlipImage(ScaleImage(image, 64, 64)),
}


@pytest.mark.parametrize("way", FITTING)
def test_what_the_way_out_leads_to_is_accepted(way: str, engine: Engine) -> None:
    assert not encoded(engine, FITTING[way]).problems


WRONG: dict[str, Change] = {
    "scaled": lambda image: ScaleImage(image, 0, 150),
    "cropped": lambda image: CropImage(image, 20, 20),
    "rotated": lambda image: RotateImage(ScaleImage(image, 64, 64), 20),
    "padded": lambda image: PadImage(ScaleImage(image, 64, 64), left=4).image,
}


@pytest.mark.parametrize("way", WRONG)
def test_sizes_are_followed_through_nodes(way: str, engine: Engine) -> None:
    assert problem_of(encoded(engine, WRONG[way])).code == "wrong-size"


def test_photographs_count_upright(engine: Engine) -> None:
    """This one is 640 x 360 in its file, and 360 x 640 as it is read."""
    assert not encoded(engine, lambda image: CropImage(image, 360, 640), "wide.jpg").problems
    problem = problem_of(encoded(engine, lambda image: CropImage(image, 640, 360), "wide.jpg"))
    assert (problem.code, problem.node) == ("out-of-range", "crop_image")


def test_sizes_are_followed_through_latents(engine: Engine) -> None:
    for width in (128, 100):
        with Graph() as graph:
            checkpoint = LoadCheckpoint("builtin:landscapes")
            prompt = TextEncode(checkpoint.text_encoder, "a lake")
            latent = VAEEncode(checkpoint.vae, ScaleImage(LoadImage("small.jpg"), 128, 96))
            painted = VAEDecode(checkpoint.vae, KSampler(CFGGuide(checkpoint.model, prompt), latent, denoise=0.5))
            SaveImage(VAEDecode(checkpoint.vae, VAEEncode(checkpoint.vae, CropImage(painted, width, 96))))
        assert len(engine.check(graph).problems) == (width == 100)


def test_guides_with_pictures_are_checked_too(engine: Engine) -> None:
    with Graph() as graph:
        checkpoint = LoadCheckpoint("builtin:landscapes")
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a lake"))
        image = LoadImage("small.jpg")
        mask = ImageToMask(ScaleImage(image, 64, 64))
        InpaintGuide(guide, checkpoint.vae, image, mask)
        EditGuide(guide, checkpoint.vae, image)
        SaveImage(image)
    found = [(one.node, one.input, one.code) for one in engine.check(graph).problems]
    assert found == [
        ("inpaint_guide", "image", "wrong-size"),
        ("inpaint_guide", "mask", "size-mismatch"),
        ("edit_guide", "image", "wrong-size"),
    ]


def test_a_long_chain_is_followed_in_bounded_time(engine: Engine) -> None:
    with Graph() as graph:
        image: Any = LoadImage("small.jpg")
        for _ in range(1500):
            image = CropImage(image)
        SaveImage(image)
    assert not engine.check(graph).problems


@pytest.mark.parametrize("way", [*FITTING, *WRONG])
def test_the_size_that_is_known_is_the_size_that_is_made(way: str, engine: Engine) -> None:
    change = {**FITTING, **WRONG}[way]
    with Graph() as graph:
        SaveImage(change(LoadImage("small.jpg")))
    calls = engine.check(graph).calls
    loaded: Any = engine.run_now(LoadImage, {"path": "small.jpg"})  # type: ignore[arg-type]
    assert size_above(Upstream(calls["save_image"], calls), "image") == size_of(change(loaded).pixels)
