"""Files of pictures as inputs: which there are, and what is in their digests."""

from __future__ import annotations

from pathlib import Path

from tests.nodes.test_picture_reading import RGB, swapped_profile
from tests.refusals import refused
from weft.engine import Engine, SearchPaths
from weft.nodes import ListPictures, LoadImage
from weft.nodes.picture_sources import PICTURE_FILE


def test_pictures_with_a_profile_have_other_keys_than_before(tmp_path: Path) -> None:
    """They were read without it: what an older version kept of them is not found."""
    for name, profile in (("plain.png", None), ("marked.png", swapped_profile())):
        RGB.save(tmp_path / name, icc_profile=profile)
    places = SearchPaths(inputs=(tmp_path,))
    assert [PICTURE_FILE.resolve(name, places).reading for name in ("plain.png", "marked.png")] == ["", "sRGB"]


def test_heic_names_the_package_that_it_needs(tmp_path: Path) -> None:
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with refused("missing-package", "pillow-heif"):
        Engine(store=None, device="cpu", inputs=[tmp_path]).run_now(LoadImage, {"path": "phone.heic"})  # type: ignore[arg-type]


def names(folder: Path, **given: object) -> list[str]:
    engine = Engine(store=None, device="cpu", inputs=[folder.parent])
    return engine.run_now(ListPictures, {"folder": folder.name, **given})  # type: ignore[arg-type,no-any-return]


def test_a_folder_lists_its_pictures_in_natural_order(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for name in ("b10.png", "b9.png", "A1.JPG", "note.txt", ".hidden.png", "below/c.png"):
        (folder / name).write_bytes(b"")
    assert names(folder) == ["photos/A1.JPG", "photos/b9.png", "photos/b10.png"]
    assert names(folder, pattern="*.png") == ["photos/b9.png", "photos/b10.png"]
    assert names(folder, start=1, count=1) == ["photos/b9.png"] and names(folder, pattern="x*") == []


def test_folders_that_have_nothing_to_list_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with refused("empty-folder", "empty"):
        names(tmp_path / "empty")
    with refused("missing-file", "nowhere"):
        names(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with refused("wrong-kind-of-file", "file"):
        names(tmp_path / "file")


def test_a_link_out_of_the_folders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(b"")
    folder = tmp_path / "inputs" / "photos"
    folder.mkdir(parents=True)
    (folder / "a.png").symlink_to(tmp_path / "outside.png")
    with refused("outside-folders", "a.png"):
        names(folder)
