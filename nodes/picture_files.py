"""Pictures as tensors, as Pillow has them, and as files. Torch and Pillow are imported when a function is called.

Tensors are `[batch, height, width, channel]` in 0..1, with three channels, or four if the last is alpha.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from weft.engine import InputError, Limits, check_pixels, listed
from weft.nodes.png_chunks import without_texts
from weft.nodes.value_checks import check_finite

if TYPE_CHECKING:
    import numpy
    import PIL.Image
    from torch import Tensor

Format = Literal["png", "webp", "jpeg"]

SAVE_OPTIONS: Mapping[Format, Mapping[str, Any]] = {
    "png": {"compress_level": 6},
    "webp": {"lossless": True, "exact": True},
    "jpeg": {"quality": 95, "subsampling": 0},
}
"""Options of Pillow, so that equal pixels give equal bytes."""

_PILLOW_LIMIT = threading.Lock()
"""Held while Pillow's limit of pixels, which all threads share, is another."""

ENDINGS: Mapping[str, Format] = {".png": "png", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg"}
"""The format of a file by the ending of its name."""


def to_levels(pixels: Tensor) -> numpy.ndarray[Any, Any]:
    """Each value, clamped to 0..1, rounded to the nearest of 256 levels: bytes of the same shape.

    Raises:
        InputError: where a value is no finite number.
    """
    # A conversion to bytes takes what lies beyond 0..255 modulo 256, and not-a-number as 0.
    check_finite("the pixels of a picture", pixels)
    levels: numpy.ndarray[Any, Any] = (pixels.clamp(0, 1) * 255).round().byte().numpy()
    return levels


def to_pil(pixels: Tensor) -> list[PIL.Image.Image]:
    """One Pillow picture, RGB or RGBA, for each item of a batch."""
    import PIL.Image

    return [PIL.Image.fromarray(item) for item in to_levels(pixels)]


def from_pil(pictures: Iterable[PIL.Image.Image]) -> Tensor:
    """A batch of Pillow pictures of one size; all have alpha if one has.

    Raises:
        InputError: if there are none, or sizes differ.
    """
    import torch

    items = [*pictures]
    if len(sizes := {picture.size for picture in items}) != 1:
        found = listed(f"{width} x {height}" for width, height in sorted(sizes)) or "no picture"
        raise InputError(
            f"pictures of a batch have one size; found {found}",
            "resize them, or make an Image of each",
            "size-mismatch",
        )
    alpha = any(picture.has_transparency_data for picture in items)
    levels = (read_levels(picture, alpha) for picture in items)
    return torch.stack([torch.from_numpy(item).float() / most for item, most in levels])


def read_levels(picture: PIL.Image.Image, alpha: bool = False) -> tuple[numpy.ndarray[Any, Any], int]:
    """The levels `[height, width, 3 or 4]` of a picture, and the greatest possible one.

    Four channels if it has transparency; grey levels of 16 bits keep their depth. Colours are those of the file,
    whatever colour profile it has; CMYK is converted without one.

    Args:
        alpha: have a fourth channel for a picture without transparency too.
    """
    import numpy

    alpha = alpha or picture.has_transparency_data
    if picture.mode.startswith("I"):
        grey = numpy.asarray(picture).astype(numpy.int32)
        transparent = picture.info.get("transparency")  # one level, which Pillow applies to grey of 8 bits alone
        opaque = numpy.where(grey == transparent, 0, 2**16 - 1).astype(numpy.int32)
        return numpy.stack([grey] * 3 + [opaque] * alpha, axis=-1), 2**16 - 1
    return numpy.array(picture.convert("RGBA" if alpha else "RGB")), 2**8 - 1


def webp_size(content: bytes) -> tuple[int, int]:
    """Width and height in the header of a WebP picture; zeros for any other content.

    WebP Container Specification; RFC 6386, section 9.1; WebP Lossless Bitstream Specification, section 3.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        return 0, 0
    kind, body = content[12:16], content[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        packed = int.from_bytes(body[1:5], "little")
        return 1 + packed % 2**14, 1 + (packed >> 14) % 2**14
    return int.from_bytes(body[6:8], "little") % 2**14, int.from_bytes(body[8:10], "little") % 2**14


def encoded(picture: PIL.Image.Image, format: Format, quality: int | None = None) -> bytes:
    """A picture as a file; alpha is left out of JPEG, which has none.

    Args:
        quality: of JPEG and WebP, 1 to 100; None is the default of `SAVE_OPTIONS`, lossless for WebP.

    Raises:
        InputError: where the format cannot hold it; WebP ends at 16,383 pixels a side, JPEG at 65,535.
    """
    packed = BytesIO()
    try:
        (picture.convert("RGB") if format == "jpeg" else picture).save(packed, format, **_options(format, quality))
    except (OSError, ValueError) as fault:
        raise InputError(
            f"a picture of {picture.width} x {picture.height} pixels cannot be written as {format} ({fault})",
            "choose png, or make it smaller",
            "unwritable-picture",
        ) from fault
    return packed.getvalue()


def _options(format: Format, quality: int | None) -> Mapping[str, Any]:
    """The options of Pillow for a format and a quality."""
    options = SAVE_OPTIONS[format]
    if quality is None or format == "png":
        return options
    return {"quality": quality, "method": 6} if format == "webp" else {**options, "quality": quality}


def opened(content: bytes, name: str, limits: Limits) -> PIL.Image.Image:
    """The first picture of a PNG, JPEG or WebP file, rotated by its EXIF orientation.

    Args:
        content: the whole file.
        name: of the file, for messages.
        limits: it is decoded only where its header is within them.

    Raises:
        InputError: where it cannot be read as a picture, or is larger than the limits.
    """
    import PIL.Image
    import PIL.ImageOps

    try:
        check_pixels(*webp_size(content), 1, limits)  # Pillow makes room for a WebP picture as it opens it
        with _header_read(without_texts(content)) as picture:
            check_pixels(*picture.size, 1, limits)
            picture.load()
            _scale_transparent_level(picture, content)
            return PIL.ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError) as fault:
        raise InputError(
            f"`{name}` cannot be read as a picture: {fault}", "give another file", "damaged-file"
        ) from None


def _header_read(content: bytes) -> PIL.Image.Image:
    """A picture whose header is read. Pillow's own limit of pixels does not count: users set `Limits.max_pixels`."""
    import PIL.Image

    with _PILLOW_LIMIT:
        before, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
        try:
            return PIL.Image.open(BytesIO(content), formats=("PNG", "JPEG", "WEBP"))
        finally:
            PIL.Image.MAX_IMAGE_PIXELS = before


def _scale_transparent_level(picture: PIL.Image.Image, content: bytes) -> None:
    """Have the transparent level or colour of a PNG in the 8 bits that Pillow reads, not in the depth of the file."""
    transparent = picture.info.get("transparency")
    if picture.format != "PNG" or transparent is None:
        return
    depth = content[24]
    if picture.mode == "RGB" and depth == 16:  # Pillow reads the high bytes of such colours
        picture.info["transparency"] = tuple(level >> 8 for level in transparent)
    elif picture.mode == "L":
        picture.info["transparency"] = transparent * 255 // (2**depth - 1)


def save(pixels: Tensor, path: Path) -> list[Path]:
    """Write each item of a batch, replacing older files: `NAME.png`, or `NAME_1.png`, `NAME_2.png` for several.

    Raises:
        InputError: if the name has no known ending, or the file cannot be written.
    """
    format = ENDINGS.get(path.suffix.lower())
    if format is None:
        raise InputError(
            f"`{path}` has no ending of a picture", f"end it in one of {listed(ENDINGS)}", "unknown-picture-format"
        )
    pictures = to_pil(pixels)
    names = [path] if len(pictures) == 1 else [path.with_stem(f"{path.stem}_{n + 1}") for n in range(len(pictures))]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for name, picture in zip(names, pictures, strict=True):
            _replace(name, encoded(picture, format))
    except OSError as fault:
        raise InputError(
            f"`{path}` cannot be written: {fault.strerror}", "choose another path", "unwritable-file"
        ) from None
    return names


def _replace(path: Path, content: bytes) -> None:
    """Write a file in place of an older one; where that fails the older one stays, and no part of the new one."""
    import uuid

    target = path.resolve()
    if target.exists() and not target.is_file():  # a device or a pipe
        target.write_bytes(content)
        return
    temporary = target.with_name(f".{target.name[:50]}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
