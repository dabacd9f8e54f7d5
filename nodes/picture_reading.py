"""A picture's file as pixels: every mode, depth and orientation that Pillow reads, in the colours of sRGB.

Pillow and numpy are imported when a function is called. Read next: `weft.nodes.picture_headers`, what is known of a
file before.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from weft.engine import InputError, Limits, Notice, check_pixels, give_notice
from weft.nodes.colour_profiles import in_srgb_by_formula
from weft.nodes.picture_headers import PictureFacts, webp_size
from weft.nodes.png_chunks import profile_of, without_texts

if TYPE_CHECKING:
    import numpy
    import PIL.Image

    Levels = numpy.ndarray[Any, Any]

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF")
"""Pillow's names of the formats that are read; HEIF in addition where the package pillow-heif is installed."""

_PILLOW_LIMIT = threading.Lock()
"""Held while Pillow's limit of pixels, which all threads share, is another."""

_OTHER_BYTES = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
"""The order of bytes by which Pillow takes the low byte of a 16-bit level, by that with which it takes the high one."""

_TURNS: Mapping[int, tuple[bool, int]] = {
    1: (False, 0),
    2: (True, 2),
    3: (False, 2),
    4: (True, 0),
    5: (True, 1),
    6: (False, 3),
    7: (True, 3),
    8: (False, 1),
}
"""For each orientation of EXIF, whether rows are mirrored top to bottom, and quarter turns to the left after that."""


def read_picture(content: bytes, name: str, limits: Limits) -> Levels:
    """The first picture of a file as float32 `[height, width, 3 or 4]` in 0..1, upright.

    Args:
        content: the whole file.
        name: of the file, for messages.
        limits: it is decoded only where its header is within them.

    Raises:
        InputError: where it cannot be read as a picture, is larger than the limits, or has levels of unknown range.
    """
    import numpy

    check_pixels(*webp_size(content), 1, limits)  # Pillow makes room for a WebP picture as it opens it
    plain = without_texts(content)
    with header_read(BytesIO(plain), name) as picture:
        check_pixels(*picture.size, 1, limits)
        try:
            rounded, deep = _is_deep(picture), _levels_of_16_bits(picture, plain)
            picture.load()
            _scale_transparent_level(picture, content)
            profile = profile_of(content) or picture.info.get("icc_profile")
            pixels = _deep_in_srgb(picture, deep, profile) if profile and rounded else None
            if pixels is None:
                pixels = _in_srgb(picture, profile, name, rounded) if profile else None
            pixels = _pixels(picture, deep, name) if pixels is None else pixels
            mirrored, quarters = _TURNS.get(picture.getexif().get(0x0112, 1), (False, 0))
        except (OSError, SyntaxError, ValueError) as fault:
            raise _unreadable(name, fault) from None
    return numpy.ascontiguousarray(numpy.rot90(pixels[::-1] if mirrored else pixels, quarters))


def header_read(file: BinaryIO, name: str) -> PIL.Image.Image:
    """A picture whose header is read. Pillow's own limit of pixels does not count: users set `Limits.max_pixels`.

    Raises:
        InputError: where it is none that Pillow reads.
    """
    import PIL.Image

    _register_heif()
    with _PILLOW_LIMIT:
        before, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
        try:
            return PIL.Image.open(file, formats=[one for one in (*FORMATS, "HEIF") if one in _known_formats()])
        except (OSError, SyntaxError, ValueError) as fault:
            raise _unreadable(name, fault) from None
        finally:
            PIL.Image.MAX_IMAGE_PIXELS = before


def facts_by_pillow(path: Path) -> PictureFacts:
    """What the header of a picture of any format says.

    Raises:
        InputError: where Pillow cannot read it.
    """
    with path.open("rb") as file, header_read(file, path.name) as picture:
        # Pillow rotates TIFF files by itself.
        turned = picture.format != "TIFF" and picture.getexif().get(0x0112, 1) in range(5, 9)
        width, height = picture.size[::-1] if turned else picture.size
        return PictureFacts(width, height, bool(picture.info.get("icc_profile")), _is_deep(picture))


def _register_heif() -> None:
    """Have Pillow read HEIC, where the package for it is installed."""
    from contextlib import suppress
    from importlib import import_module

    with suppress(ImportError):
        import_module("pillow_heif").register_heif_opener()


def _known_formats() -> Mapping[str, Any]:
    import PIL.Image

    PIL.Image.init()
    return PIL.Image.OPEN


def _unreadable(name: str, fault: Exception) -> InputError:
    import PIL

    unknown = isinstance(fault, PIL.UnidentifiedImageError)  # its message is an address in memory
    reason = "it is empty, cut off, or of a format that is not read" if unknown else fault
    hint = f"save it again as PNG or JPEG; {', '.join(FORMATS)} are read"
    return InputError(f"`{name}` cannot be read as a picture: {reason}", hint, "damaged-file")


def eight_bit_levels(picture: PIL.Image.Image, alpha: bool = False) -> Levels:
    """The levels `[height, width, 3 or 4]` of a picture; four channels if it has transparency.

    Args:
        alpha: have a fourth channel for a picture without transparency too.
    """
    import numpy

    return numpy.array(picture.convert("RGBA" if alpha or picture.has_transparency_data else "RGB"))


def grey_pixels(picture: PIL.Image.Image, alpha: bool = False) -> Levels:
    """The pixels of a picture of one channel of 16 bits, whose levels keep their depth.

    Args:
        alpha: have a fourth channel for a picture without transparency too.
    """
    import numpy

    grey = numpy.asarray(picture).astype(numpy.float32)
    transparent = picture.info.get("transparency")  # one level, which Pillow applies to grey of 8 bits alone
    opaque = numpy.where(grey == transparent, 0, 2**16 - 1).astype(numpy.float32)
    more = alpha or picture.has_transparency_data
    pixels: Levels = numpy.stack([grey] * 3 + [opaque] * more, axis=-1) / numpy.float32(2**16 - 1)
    return pixels


def _pixels(picture: PIL.Image.Image, deep: Levels | None, name: str) -> Levels:
    """The pixels of a loaded picture without a profile."""
    import numpy

    if deep is not None:
        return _deep_pixels(picture, deep)
    if picture.mode == "I":
        raise InputError(
            f"`{name}` has whole numbers of 32 bits as levels, whose range is not known",
            "save it in 8 or 16 bits, or as floating-point numbers in 0..1",
            "unknown-levels",
        )
    if picture.mode == "F":
        return numpy.stack([numpy.asarray(picture)] * 3, axis=-1)
    if picture.mode.startswith("I"):
        return grey_pixels(picture)
    if picture.mode == "LAB":
        return _transformed(picture, _lab_profile(), "RGB")
    return eight_bit_levels(picture).astype(numpy.float32) / numpy.float32(255)


def _levels_of_16_bits(picture: PIL.Image.Image, content: bytes) -> Levels | None:
    """Levels of 16 bits in several channels, of which Pillow reads the high bytes alone; None for other pictures.

    The file is decoded again with the other order of bytes, by which Pillow takes the low ones.
    """
    import numpy

    mode, _, order = _raw_mode(picture).partition(";16")
    if mode == "LA" and order == "B":  # as four channels of 8 bits, these are both bytes of both channels
        raw = _decoded(content, "RGBA", "RGBA").astype(numpy.uint16)
        grey, alpha = raw[..., 0] * 256 + raw[..., 1], raw[..., 2] * 256 + raw[..., 3]
        return numpy.stack([grey, grey, grey, alpha], axis=-1)
    if mode not in ("RGB", "RGBX", "RGBA") or order not in _OTHER_BYTES:
        return None
    high = _decoded(content, picture.mode, f"{mode};16{order}").astype(numpy.uint16)
    return high * 256 + _decoded(content, picture.mode, f"{mode};16{_OTHER_BYTES[order]}")


def _raw_mode(picture: PIL.Image.Image) -> str:
    """What Pillow calls the levels in a file whose header it read; empty where it does not say."""
    tile = getattr(picture, "tile", None)
    if not tile:
        return ""
    arguments = tile[0][3]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _decoded(content: bytes, mode: str, raw: str) -> Levels:
    """The bytes of a picture, its levels read as those of another raw mode."""
    import numpy
    import PIL.Image

    with header_read(BytesIO(content), "") as picture:
        assert isinstance(picture, PIL.Image.Image)
        tiles: Any = picture.tile  # type: ignore[attr-defined]
        picture.tile = [  # type: ignore[attr-defined]
            tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in tiles
        ]
        picture._mode = mode
        picture.load()
        return numpy.array(picture)


def _deep_pixels(picture: PIL.Image.Image, deep: Levels) -> Levels:
    """Pixels of 16-bit levels, with the colour that is transparent as a fourth channel."""
    import numpy

    transparent = picture.info.get("transparency")
    if isinstance(transparent, tuple) and deep.shape[-1] == 3:
        opaque = (deep != numpy.array(transparent)).any(-1, keepdims=True)
        deep = numpy.concatenate([deep, opaque * numpy.uint16(2**16 - 1)], axis=-1)
    return deep.astype(numpy.float32) / numpy.float32(2**16 - 1)


def _scale_transparent_level(picture: PIL.Image.Image, content: bytes) -> None:
    """Have the transparent level of a grey PNG in the 8 bits that Pillow reads, not in the depth of the file."""
    transparent = picture.info.get("transparency")
    if picture.format == "PNG" and picture.mode == "L" and transparent is not None:
        picture.info["transparency"] = transparent * 255 // (2 ** content[24] - 1)


def _in_srgb(picture: PIL.Image.Image, profile: bytes, name: str, rounded: bool) -> Levels | None:
    """The pixels of a loaded picture, converted from its colour profile to sRGB; None where its colours are sRGB's.

    A profile that cannot be used is a notice, and the colours count as sRGB.

    Args:
        rounded: whether the file has levels of 16 bits, of which the conversion leaves 8.
    """
    from PIL import ImageCms

    try:
        source, mode = _opened_profile(picture, profile)
        if _is_srgb(source):
            return None
        pixels = _transformed(picture, source, mode)
    except (OSError, ValueError, ImageCms.PyCMSError) as fault:
        message = f"the colour profile of `{name}` cannot be used: {fault}; its colours are taken as sRGB"
        give_notice(Notice(message, "convert it to sRGB in a program that reads the profile", "unusable-profile"))
        return None
    if rounded:
        message = f"the levels of `{name}` are rounded to 8 bits, as its colour profile is applied to them"
        give_notice(Notice(message, "convert it to sRGB in 16 bits before", "rounded-levels"))
    return pixels


def _opened_profile(picture: PIL.Image.Image, profile: bytes) -> tuple[Any, str]:
    """A profile, and Pillow's mode of the colours that it is for.

    Raises:
        ValueError: where it is for colours that the picture does not have.
    """
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    space = source.profile.xcolor_space.strip()
    mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(space)
    grey = picture.mode in ("1", "L", "LA", "I", "F") or picture.mode.startswith("I;16")
    if mode is None or (mode == "CMYK") != (picture.mode == "CMYK") or (mode == "L" and not grey):
        raise ValueError(f"it is for colours of kind {space}, the picture's are {picture.mode}")
    return source, mode


def _is_srgb(source: Any) -> bool:
    return "sRGB" in (source.profile.profile_description or "")


def _is_deep(picture: PIL.Image.Image) -> bool:
    """Whether a picture whose header is read has levels of 16 bits; once it is loaded, this is not known any more."""
    return picture.mode.startswith("I;16") or ";16" in _raw_mode(picture)


def _deep_in_srgb(picture: PIL.Image.Image, deep: Levels | None, profile: bytes) -> Levels | None:
    """The pixels of levels of 16 bits in sRGB; None where the colours are sRGB's, or the profile has no formula."""
    import numpy
    from PIL import ImageCms

    if deep is None and not picture.mode.startswith("I;16"):
        return None
    try:
        source, _ = _opened_profile(picture, profile)
        pixels = grey_pixels(picture) if deep is None else _deep_pixels(picture, deep)
        colours = None if _is_srgb(source) else in_srgb_by_formula(pixels[..., :3].astype(numpy.float64), profile)
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None
    return None if colours is None else numpy.concatenate([colours, pixels[..., 3:]], axis=-1).astype(numpy.float32)


def _transformed(picture: PIL.Image.Image, source: Any, mode: str) -> Levels:
    """The pixels of a picture, converted from a profile for colours of a mode to sRGB; alpha stays."""
    import numpy
    from PIL import ImageCms

    alpha = None
    if picture.has_transparency_data:
        alpha = picture.convert("RGBA").getchannel("A")
    if picture.mode.startswith("I;16"):
        import PIL.Image

        picture = PIL.Image.fromarray((numpy.asarray(picture).astype(numpy.uint16) >> 8).astype(numpy.uint8))
    colours = picture if picture.mode == "LAB" else picture.convert(mode)
    converted = ImageCms.profileToProfile(colours, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None
    if alpha is not None:
        converted.putalpha(alpha)
    return numpy.asarray(converted).astype(numpy.float32) / numpy.float32(255)


def _lab_profile() -> Any:
    from PIL import ImageCms

    return ImageCms.createProfile("LAB")
