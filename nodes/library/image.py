"""Reading and writing pictures: LoadImage and SaveImage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from weft.engine import (
    ADDED_LATER,
    INJECTED,
    Artifact,
    Context,
    InputError,
    InputFile,
    Limits,
    NodeProblem,
    Range,
    name_fault,
    node,
)
from weft.nodes.picture_files import Format, encoded, opened, read_levels, to_pil
from weft.nodes.values import Image

SIGNATURES = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff", ".webp": b"RIFF"}
"""How a file of each ending begins."""


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
    if not any(head.startswith(signature) for signature in SIGNATURES.values()):
        raise InputError(
            f"`{path.name}` is no picture: it begins as no PNG, JPEG or WebP file does",
            "give a picture",
            "wrong-kind-of-file",
        )


_BYTES_PER_PIXEL = 8
"""What a pixel takes in the largest file of a picture: four channels of 16 bits, uncompressed."""

_METADATA = 2**26
"""Bytes of a file that are no pixels: profiles, texts, thumbnails."""


@node(category="image", version=2, lane="io")
def LoadImage(path: Annotated[str, InputFile(tuple(SIGNATURES), _probe)], *, context: Context = INJECTED) -> Image:
    """Read a PNG, JPEG or WebP picture, rotated by its EXIF orientation; of an animation the first picture.

    Colours are those of the file: colour profiles are not applied, and CMYK is converted without one.

    Args:
        path: looked up next to the graph, in the working directory and in the input folders. Transparency becomes a
            fourth channel.
    """
    import torch

    (file,) = context.found(path).resolved.files
    if file.stat().st_size > _BYTES_PER_PIXEL * context.limits.max_pixels + _METADATA:
        message = f"`{path}` has {file.stat().st_size:,} bytes, more than a picture within the limit of pixels can have"
        raise InputError(message, "give a smaller picture, or raise WEFT_MAX_PIXELS", "too-many-pixels")
    levels, most = read_levels(opened(context.content(path), path, context.limits))
    return Image(torch.from_numpy(levels)[None].float() / most)


def _check_saving(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The name must be a file name that stays in the output folder; the format must have a quality that is given."""
    fault = name_fault(inputs["name"]) if "name" in inputs else None
    if fault:
        yield NodeProblem(
            "name", fault, "give a plain name, without folders above it and without an ending", "malformed-path"
        )

    if inputs.get("format") == "png" and inputs.get("quality") is not None:
        yield NodeProblem(
            "quality", "PNG is lossless and has no quality", "leave it out, or choose jpeg or webp", "unused-input"
        )


@node(category="image", version=2, lane="cpu", check=_check_saving)
def SaveImage(
    image: Image | list[Image],
    name: str = "image",
    *,
    format: Format = "png",
    quality: Annotated[int | None, Range(1, 100), ADDED_LATER] = None,
) -> list[Artifact]:
    """Save pictures in the output folder, one file for each item of the batch, and for each picture of a list.

    Called outside of a graph, nothing is written: `.save(FOLDER)` of what it returns writes a file.

    Args:
        image: the pictures, which may be of several sizes in a list; each value is clamped to 0..1 and rounded to the
            nearest of 256 levels.
        name: of the files, without number and suffix.
        format: `png` is lossless, and `webp` where no quality is given; `jpeg` is lossy and drops alpha.
        quality: of JPEG and WebP: 75 for small files, 90 where nobody should see a difference. Null is 95 for JPEG, and
            lossless for WebP. Colours have the full resolution of the picture in JPEG, half of it in lossy WebP.
    """
    images = [image] if isinstance(image, Image) else image
    pictures = (picture for one in images for picture in to_pil(one.pixels))
    return [Artifact(encoded(picture, format, quality), f"image/{format}", name) for picture in pictures]
