"""Files of pictures as inputs of nodes: which there are, and what their headers say. Imports no Pillow for most."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from weft.engine import InputError, InputFile, Resolved, Resource, SearchPaths, find, inside
from weft.nodes.picture_headers import READ_HERE, PictureFacts, picture_facts

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".avif", ".heic", ".heif")
"""Endings of files that may be pictures."""

_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"II*\0", b"MM\0*", b"GIF8", b"BM")
"""How a file of each format begins, but for AVIF and HEIC, which have `ftyp` behind a length."""

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")

LARGEST_FILE = 2**31
"""Bytes of a file that may be a picture, whatever the limit of pixels is."""


def _probe(path: Path) -> None:
    """Raise `InputError` where a file is too large for a picture or does not begin as one of some kind does."""
    if path.stat().st_size > LARGEST_FILE:
        raise InputError(
            f"`{path.name}` has {path.stat().st_size:,} bytes, expected at most {LARGEST_FILE:,} of a picture",
            "give a picture",
            "too-many-pixels",
        )
    with path.open("rb") as file:
        head = file.read(12)
    if not head.startswith(_BEGINNINGS) and head[4:8] != b"ftyp":
        raise InputError(
            f"`{path.name}` is no picture: it begins as no file of a format that is read does",
            "give a PNG, JPEG, WebP, TIFF, GIF, BMP or AVIF file",
            "wrong-kind-of-file",
        )
    if head[4:12] in [b"ftyp" + brand for brand in _HEIF_BRANDS] and find_spec("pillow_heif") is None:
        raise InputError(
            f"`{path.name}` is a HEIC picture, which needs the package pillow-heif",
            "install it (pip install pillow-heif), or save the picture as JPEG or PNG",
            "missing-package",
        )


def _facts(path: Path) -> PictureFacts | None:
    """What the header of a picture says; None where it does not say it."""
    with path.open("rb") as file:
        if file.read(4).startswith(READ_HERE):
            return picture_facts(path)
    from weft.nodes.picture_reading import facts_by_pillow  # imports Pillow, which most checks do without

    return facts_by_pillow(path)


@dataclass(frozen=True)
class PictureFile(InputFile):
    """A picture, with `PictureFacts` of its header where that says them."""

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The file, looked up as every input file is.

        Raises:
            InputError: where it is missing, or no picture.
        """
        found = super().resolve(text, places)
        facts = _facts(found.root)
        # Pictures with a profile were read without it before, and those of 16 bits rounded.
        reading = ("sRGB of 16 bits" if facts.deep else "sRGB") if facts and facts.profile else ""
        return replace(found, facts=facts, reading=reading)


PICTURE_FILE = PictureFile(ENDINGS, _probe)
"""A picture that a node reads."""


@dataclass(frozen=True)
class PictureFolder(Resource):
    """A folder with pictures; those in folders below it do not count."""

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The folder, looked up as every input file is, with the pictures in it in natural order (2 before 10).

        Raises:
            InputError: where there is no such folder, or no picture in it.
        """
        root = find(text, places.files)
        if root is None:
            raise InputError(
                f"there is no folder `{text}`",
                "check the name, or add the folder above it with --input",
                "missing-file",
            )
        if not root.is_dir():
            raise InputError(f"`{text}` is a file, expected a folder", "name its folder", "wrong-kind-of-file")
        names = [one for one in root.iterdir() if one.suffix.lower() in ENDINGS and not one.name.startswith(".")]
        files = sorted((one for one in names if one.is_file()), key=lambda one: natural_order(one.name))
        if not files:
            raise InputError(f"the folder `{text}` has no picture", f"it takes {', '.join(ENDINGS)}", "empty-folder")
        _check_links(files, text, places)
        return Resolved(text, root, tuple(files))


def _check_links(files: Iterable[Path], folder: str, places: SearchPaths) -> None:
    """Refuse links that lead out of the folders that a run may read."""
    for one in files:
        if one.is_symlink() and not inside(one, places.files):
            message = f"`{one.name}` in `{folder}` is a link to a file outside the folders that this run may read"
            raise InputError(message, "name the folder that it leads to with --input DIR", "outside-folders")


def natural_order(name: str) -> list[tuple[int, str]]:
    """What names are sorted by, so that numbers in them count as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"(\d+)", name)]


PICTURE_FOLDER = PictureFolder()
"""A folder of pictures that a node lists."""


@dataclass(frozen=True)
class CaptionedFolder(PictureFolder):
    """A folder with pictures, and for each a text of its name: `1.png` and `1.txt`, as kohya's scripts read them."""

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The folder with its pictures and then their texts, each in natural order.

        Raises:
            InputError: where there is no such folder, or it lacks a picture or the text of one.
        """
        found = super().resolve(text, places)
        texts = [*dict.fromkeys(caption_of(one) for one in found.files)]
        lacking = [one.name for one in texts if not one.is_file()]
        if lacking:
            listed = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
            hint = "write a file with the caption next to each picture; an empty one is an empty caption"
            raise InputError(f"the folder `{text}` has pictures without {listed}", hint, "missing-file")
        _check_links(texts, text, places)
        return replace(found, files=(*found.files, *texts))


def caption_of(picture: Path) -> Path:
    """The file with a picture's caption."""
    return picture.with_suffix(".txt")


CAPTIONED_FOLDER = CaptionedFolder()
"""A folder of pictures with their captions that a node reads."""
