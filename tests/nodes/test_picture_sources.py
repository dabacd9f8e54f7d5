"""Files of pictures as inputs: which there are, and what is in their digests."""

from __future__ import annotations

from pathlib import Path

from tests.nodes.test_picture_reading import RGB, swapped_profile
from tests.refusals import refused
from weft.engine import Engine, SearchPaths
from weft.nodes import LoadImage
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
