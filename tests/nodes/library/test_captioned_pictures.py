"""A folder of pictures with captions next to them, as trainers have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import PIL.Image
import pytest

from tests.refusals import refused
from weft.engine import Engine
from weft.nodes import LoadCaptionedPictures, PicturesWithCaptions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures of different sizes with captions."""
    made = tmp_path / "inputs" / "dataset"
    made.mkdir(parents=True)
    for name, size, caption in (("10", (40, 20), "a lake\n"), ("9", (16, 16), "\ufeffa house, red")):
        PIL.Image.new("RGB", size, "red").save(made / f"{name}.png")
        (made / f"{name}.txt").write_text(caption, encoding="utf-8")
    return made


def loaded(folder: Path, store: Path | None = None, **given: Any) -> PicturesWithCaptions:
    engine, kind = Engine(store=store, device="cpu", inputs=[folder.parent]), cast(Any, LoadCaptionedPictures)
    found: PicturesWithCaptions = engine.run_now(kind, {"folder": folder.name, **given})
    return found


def test_pictures_come_in_natural_order_with_their_captions(folder: Path) -> None:
    pictures, captions = loaded(folder, prefix="sks, ")
    assert [tuple(one.pixels.shape) for one in pictures] == [(1, 16, 16, 3), (1, 20, 40, 3)]
    assert captions == ["sks, a house, red", "sks, a lake"]


def test_only_larger_pictures_are_scaled_down(folder: Path) -> None:
    pictures, _ = loaded(folder, resolution=20)
    assert [tuple(one.pixels.shape[1:3]) for one in pictures] == [(16, 16), (14, 28)]


def test_another_caption_is_another_result(folder: Path, tmp_path: Path) -> None:
    assert loaded(folder, tmp_path / "store").captions[1] == "a lake"
    (folder / "10.txt").write_text("a meadow")
    assert loaded(folder, tmp_path / "store").captions[1] == "a meadow"


def test_what_is_no_such_folder_is_refused(folder: Path) -> None:
    (folder / "9.txt").write_bytes(b"\xff\xfe\x00")
    with refused("wrong-kind-of-file", "9.txt"):
        loaded(folder)
    (folder / "9.txt").unlink()
    with refused("missing-file", "9.txt"):
        loaded(folder)
    (folder.parents[1] / "outside.txt").write_text("")
    (folder / "9.txt").symlink_to(folder.parents[1] / "outside.txt")
    with refused("outside-folders", "9.txt"):
        loaded(folder)
