"""Reading and writing pictures: LoadImage and SaveImage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from weft.engine import (
    ADDED_LATER,
    INJECTED,
    Artifact,
    Context,
    InputError,
    Limits,
    NodeProblem,
    Range,
    Upstream,
    Work,
    name_fault,
    node,
)
from weft.engine.verdict import Verdict
from weft.nodes.picture_files import LARGEST_SIDE, Format, Rounding, encoded, to_pil
from weft.nodes.picture_headers import PictureFacts
from weft.nodes.picture_reading import read_picture
from weft.nodes.picture_sources import PICTURE_FILE, PICTURE_FOLDER
from weft.nodes.sampling.workloads import picture_work
from weft.nodes.sizes import Size, SizeTraits, size_above
from weft.nodes.values import Image

_BYTES_PER_PIXEL = 8
"""What a pixel takes in the largest file of a picture: four channels of 16 bits, uncompressed."""

_METADATA = 2**26
"""Bytes of a file that are no pixels: profiles, texts, thumbnails."""


def _size(loader: Upstream, _: Size | None) -> Size | None:
    """The size of the picture that a loader names."""
    source = loader.source("path")
    return Size(source.facts.width, source.facts.height) if source and isinstance(source.facts, PictureFacts) else None


@node(category="image", version=2, lane="io", traits=(SizeTraits(_size),))
def LoadImage(path: Annotated[str, PICTURE_FILE], *, context: Context = INJECTED) -> Image:
    """Read a picture: PNG, JPEG, WebP, TIFF, GIF, BMP or AVIF, and HEIC where the package pillow-heif is installed.

    It is rotated by its EXIF orientation; of an animation the first picture is read. Levels of 16 bits keep their
    depth. Colours come in sRGB: a colour profile is applied (to levels of 8 bits where it has tables of colours); CMYK
    is converted without one.

    Args:
        path: looked up next to the graph, in the working directory and in the input folders. Transparency becomes a
            fourth channel.
    """
    import torch

    (file,) = context.found(path).resolved.files
    if file.stat().st_size > _BYTES_PER_PIXEL * context.limits.max_pixels + _METADATA:
        message = f"`{path}` has {file.stat().st_size:,} bytes, more than a picture within the limit of pixels can have"
        raise InputError(message, "give a smaller picture, or raise WEFT_MAX_PIXELS", "too-many-pixels")
    return Image(torch.from_numpy(read_picture(context.content(path), path, context.limits))[None])


@node(category="image", lane="cpu")
def ListPictures(
    folder: Annotated[str, PICTURE_FOLDER],
    pattern: str = "*",
    *,
    start: Annotated[int, Range(0)] = 0,
    count: Annotated[int, Range(0)] = 0,
    context: Context = INJECTED,
) -> list[str]:
    """The pictures of a folder by name, for `map:` to walk over with a LoadImage in each item.

    Items run one after the other: the next picture is read while one is worked on, and none is held longer than its
    item. The order is natural: `2.png` comes before `10.png`.

    Args:
        folder: looked up next to the graph, in the working directory and in the input folders.
        pattern: of file names: `*` takes all, `*.jpg` those of an ending, `IMG_2*` those that begin so.
        start: how many of them are left out at the beginning.
        count: how many are taken; 0 takes all.
    """
    root, names = Path(folder), [file.name for file in context.found(folder).resolved.files]
    taken = [(root / name).as_posix() for name in names if fnmatchcase(name, pattern)]
    return taken[start : start + count if count else None]


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


def _saving_fits(node: Upstream) -> Iterable[NodeProblem]:
    """The pictures must have a size that the format can hold."""
    size, format = size_above(node, "image"), node.literals.get("format")
    most = LARGEST_SIDE.get(format) if isinstance(format, str) else None
    if size and most and max(size) > most:
        message = f"pictures of {size} pixels do not fit {format}, which ends at {most:,} pixels a side"
        yield NodeProblem("format", message, "choose png, or make them smaller", "unwritable-picture")


@node(category="image", version=2, lane="io", check=_check_saving, fits=_saving_fits, traits=(Work(picture_work),))
def SaveImage(
    image: Image | list[Image],
    name: str = "image",
    *,
    format: Format = "png",
    quality: Annotated[int | None, Range(1, 100), ADDED_LATER] = None,
    verdicts: Annotated[list[Verdict] | None, ADDED_LATER] = None,
    rounding: Annotated[Rounding, ADDED_LATER] = "nearest",
) -> list[Artifact]:
    """Save pictures in the output folder, one file for each item of the batch, and for each picture of a list.

    Called outside of a graph, nothing is written: `.save(FOLDER)` of what it returns writes a file.

    Args:
        image: the pictures, which may be of several sizes in a list; each value is clamped to 0..1 and rounded to
            one of 256 levels.
        name: of the files, without number and suffix.
        format: `png` is lossless, and `webp` where no quality is given; `jpeg` is lossy and drops alpha.
        quality: of JPEG and WebP: 75 for small files, 90 where nobody should see a difference. Null is 95 for JPEG, and
            lossless for WebP. Colours have the full resolution of the picture in JPEG, half of it in lossy WebP.
        verdicts: from SafetyCheck, one for each picture, for their metadata, events and sidecars of jobs.
        rounding: `nearest` is the nearest level; `down` the one below, as ComfyUI saves pictures: half a level darker.
    """
    images = [image] if isinstance(image, Image) else image
    pictures = [picture for one in images for picture in to_pil(one.pixels, rounding)]
    if verdicts is not None and len(verdicts) != len(pictures):
        message = f"there are {len(verdicts)} verdicts for {len(pictures)} pictures"
        raise InputError(message, "give those of the same SafetyCheck", "batch-mismatch")
    files = (encoded(picture, format, quality) for picture in pictures)
    given: list[Verdict | None] = [None] * len(pictures) if verdicts is None else [*verdicts]
    return [Artifact(file, f"image/{format}", name, one) for file, one in zip(files, given, strict=True)]
