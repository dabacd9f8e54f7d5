"""Pictures to Pillow and back, and to files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image as Pictures

from tests.refusals import refused
from weft.engine import InputError
from weft.nodes import Image, SaveImage
from weft.nodes.picture_files import encoded, to_levels

LEVELS = torch.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3) / 255


@pytest.mark.parametrize("channels", [3, 4])
def test_pictures_go_to_pillow_and_back(channels: int) -> None:
    image = Image(torch.cat([LEVELS, LEVELS[..., :1]], -1)[..., :channels])
    pictures = image.to_pil()
    assert [picture.size for picture in pictures] == [(6, 4)] * 2
    assert torch.equal(Image.from_pil(*pictures).pixels, image.pixels)


def test_a_batch_has_alpha_if_one_picture_has() -> None:
    image = Image.from_pil(Pictures.new("RGB", (2, 2), "red"), Pictures.new("RGBA", (2, 2), (0, 0, 0, 0)))
    assert image.pixels[:, 0, 0].tolist() == [[1, 0, 0, 1], [0, 0, 0, 0]]


def test_grey_levels_of_16_bits_keep_their_depth() -> None:
    assert (
        Image.from_pil(Pictures.new("I;16", (1, 1), 257)).pixels.flatten().tolist() == [pytest.approx(257 / 65535)] * 3
    )


@pytest.mark.parametrize("sizes", [[], [(1, 2), (2, 1)]])
def test_pictures_of_a_batch_have_one_size(sizes: list[tuple[int, int]]) -> None:
    with pytest.raises(InputError):
        Image.from_pil(*(Pictures.new("RGB", size) for size in sizes))


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("sub/a.webp", "WEBP"), ("a.JPG", "JPEG")])
def test_a_picture_is_saved_by_its_ending(tmp_path: Path, name: str, kind: str) -> None:
    assert Image(LEVELS[:1]).save(tmp_path / name) == [tmp_path / name]
    with Pictures.open(tmp_path / name) as picture:
        assert picture.format == kind
        if kind != "JPEG":
            assert torch.equal(Image.from_pil(picture).pixels, LEVELS[:1])


def test_pictures_of_a_batch_are_numbered_and_replace_older_ones(tmp_path: Path) -> None:
    for pixels in (LEVELS, LEVELS.flip(0)):
        paths = Image(pixels).save(str(tmp_path / "a.png"))
        assert [path.name for path in paths] == ["a_1.png", "a_2.png"]
    with Pictures.open(tmp_path / "a_1.png") as picture:
        assert torch.equal(Image.from_pil(picture).pixels, LEVELS[1:])


@pytest.mark.parametrize("name", ["a.gif", "a", "file/a.png"])
def test_what_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError):
        Image(LEVELS).save(tmp_path / name)


def test_outside_of_a_graph_save_image_writes_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (artifact,) = SaveImage(Image(LEVELS[:1]), "sub/lake")
    assert not [*tmp_path.iterdir()] and ".save(" in repr(artifact)
    assert [artifact.save(tmp_path).name for _ in range(2)] == ["lake.png", "lake_2.png"]
    with Pictures.open(tmp_path / "sub" / "lake_2.png") as picture:
        assert torch.equal(Image.from_pil(picture).pixels, LEVELS[:1])


def test_a_picture_that_a_format_cannot_hold_is_refused() -> None:
    with refused("unwritable-picture", 17_000, "webp", "png"):
        encoded(Pictures.new("RGB", (17_000, 1)), "webp")


def test_levels_are_rounded_to_the_nearest_or_down() -> None:
    pixels = torch.tensor([0.0, 0.999 / 255, 1.4 / 255, 1.6 / 255, 254.9 / 255, 1.0, 2.0, -1.0])
    assert to_levels(pixels).tolist() == [0, 1, 1, 2, 255, 255, 255, 0]
    assert to_levels(pixels, "down").tolist() == [0, 0, 1, 1, 254, 255, 255, 0]
