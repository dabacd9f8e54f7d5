"""Pictures as tensors, as Pillow has them, and as files. Torch and Pillow are imported when a function is called.

Tensors are `[batch, height, width, channel]` in 0..1, with three channels, or four if the last is alpha.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from weft.engine import InputError, listed
from weft.nodes.picture_reading import eight_bit_levels, grey_pixels
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

ENDINGS: Mapping[str, Format] = {".png": "png", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg"}
"""The format of a file by the ending of its name."""


LARGEST_SIDE: Mapping[str, int] = {"webp": 16383, "jpeg": 65500}
"""The most pixels a side that libwebp and libjpeg write; PNG has no such end."""


Rounding = Literal["nearest", "down"]
"""How values between two levels are rounded."""


def to_levels(pixels: Tensor, rounding: Rounding = "nearest") -> numpy.ndarray[Any, Any]:
    """Each value, clamped to 0..1, rounded to one of 256 levels: bytes of the same shape.

    Raises:
        InputError: where a value is no finite number.
    """
    # A conversion to bytes takes what lies beyond 0..255 modulo 256, and not-a-number as 0.
    check_finite("the pixels of a picture", pixels)
    scaled = pixels.clamp(0, 1) * 255
    levels: numpy.ndarray[Any, Any] = (scaled.round() if rounding == "nearest" else scaled).byte().numpy()
    return levels


def to_pil(pixels: Tensor, rounding: Rounding = "nearest") -> list[PIL.Image.Image]:
    """One Pillow picture, RGB or RGBA, for each item of a batch."""
    import PIL.Image

    return [PIL.Image.fromarray(item) for item in to_levels(pixels, rounding)]


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
    return torch.stack([torch.from_numpy(_pixels(item, alpha)) for item in items])


def _pixels(picture: PIL.Image.Image, alpha: bool) -> numpy.ndarray[Any, Any]:
    """The pixels `[height, width, channel]` of a Pillow picture, with alpha where it is wanted."""
    if picture.mode.startswith("I"):
        return grey_pixels(picture, alpha)
    return eight_bit_levels(picture, alpha).astype("float32") / 255


def encoded(picture: PIL.Image.Image, format: Format, quality: int | None = None) -> bytes:
    """A picture as a file; alpha is left out of JPEG, which has none.

    Args:
        quality: of JPEG and WebP, 1 to 100; None is the default of `SAVE_OPTIONS`, lossless for WebP.

    Raises:
        InputError: where the format cannot hold it; see `LARGEST_SIDE`.
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
