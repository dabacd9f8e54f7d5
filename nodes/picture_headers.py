"""What the header of a picture's file says: size, orientation, colours. Read by every check; imports no Pillow for PNG,
JPEG and WebP, of which nearly all pictures are.

PNG: W3C PNG (third edition), sections 5 and 11. JPEG: ITU-T T.81, annex B. WebP: Container Specification; RFC 6386,
section 9.1; Lossless Bitstream Specification, section 3. EXIF: TIFF 6.0, section 2, tag 0x0112.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_ORIENTATION = 0x0112
_MOST_PARTS = 100_000
"""Chunks or segments of a file that are looked at; a picture with more is read without its size being known before."""

_MOST_TEXT = 2**20
"""Bytes of EXIF or XMP that are read."""

_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


@dataclass(frozen=True)
class PictureFacts:
    """What the header of a picture says.

    Args:
        width: in pixels, upright: after the rotation that EXIF asks for.
        height: in pixels, upright.
        profile: whether it has a colour profile.
        deep: whether it has levels of 16 bits.
    """

    width: int
    height: int
    profile: bool = False
    deep: bool = False


@dataclass
class _Header:
    """What was found so far."""

    width: int = 0
    height: int = 0
    exif: bytes = b""
    xmp: bytes = b""
    profile: bool = False
    deep: bool = False

    def facts(self) -> PictureFacts | None:
        """What was found, None without a size."""
        if self.width < 1 or self.height < 1:
            return None
        turned = orientation_of(self.exif, self.xmp) > 4
        width, height = (self.height, self.width) if turned else (self.width, self.height)
        return PictureFacts(width, height, self.profile, self.deep)


READ_HERE = (b"\x89PNG", b"\xff\xd8", b"RIFF")
"""How the files begin whose headers are read here: PNG, JPEG and WebP."""


def picture_facts(path: Path) -> PictureFacts | None:
    """What the header of a PNG, JPEG or WebP picture says; None where it does not say it, and reading it will tell."""
    with path.open("rb") as file, suppress(struct.error, ValueError):
        head = file.read(12)
        file.seek(0)
        for begins, read in zip(READ_HERE, (_png, _jpeg, _webp), strict=True):
            if head.startswith(begins):
                return read(file).facts()
    return None


def _png(file: BinaryIO) -> _Header:
    header, position, text = _Header(), 8, b"XML:com.adobe.xmp\0\0"
    for _ in range(_MOST_PARTS):
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"IHDR":
            header.width, header.height, depth = struct.unpack(">IIB", file.read(9))
            header.deep = depth == 16
        elif kind == b"iCCP":
            header.profile = True
        elif kind == b"eXIf":
            header.exif = file.read(min(length, _MOST_TEXT))
        elif kind == b"iTXt" and length <= _MOST_TEXT and (found := file.read(length)).startswith(text):
            header.xmp = found
        elif kind == b"IEND":
            break
        position += 12 + length
    return header


def _segments(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Marker, start and length of each segment of a JPEG before its pixels."""
    position = 2
    for _ in range(_MOST_PARTS):
        file.seek(position)
        begins, marker = struct.unpack(">BB", file.read(2))
        if begins != 0xFF or marker in (0xD9, 0xDA):
            return
        if marker == 0xFF:  # filling
            position += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers that stand alone
            position += 2
            continue
        (length,) = struct.unpack(">H", file.read(2))
        yield marker, position + 4, length - 2
        position += 2 + length


def _jpeg(file: BinaryIO) -> _Header:
    header = _Header()
    for marker, start, length in _segments(file):
        file.seek(start)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            _, header.height, header.width = struct.unpack(">BHH", file.read(5))
        elif marker == 0xE1:
            body = file.read(length)
            header.exif = header.exif or (body[6:] if body.startswith(b"Exif\0\0") else b"")
            header.xmp = header.xmp or (body if body.startswith(b"http://ns.adobe.com/xap/1.0/\0") else b"")
        elif marker == 0xE2:
            header.profile = header.profile or file.read(12) == b"ICC_PROFILE\0"
    return header


def webp_size(content: bytes) -> tuple[int, int]:
    """Width and height in the header of a WebP picture; zeros for any other content."""
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        return 0, 0
    kind, body = content[12:16], content[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        packed = int.from_bytes(body[1:5], "little")
        return 1 + packed % 2**14, 1 + (packed >> 14) % 2**14
    return int.from_bytes(body[6:8], "little") % 2**14, int.from_bytes(body[8:10], "little") % 2**14


def _webp(file: BinaryIO) -> _Header:
    header, position = _Header(*webp_size(file.read(30))), 12
    file.seek(0, 2)
    end = file.tell()
    for _ in range(_MOST_PARTS):
        if position + 8 > end:
            break
        file.seek(position)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind == b"ICCP":
            header.profile = True
        elif kind == b"EXIF":
            header.exif = file.read(min(length, _MOST_TEXT)).removeprefix(b"Exif\0\0")
        elif kind == b"XMP ":
            header.xmp = file.read(min(length, _MOST_TEXT))
        position += 8 + length + length % 2
    return header


def orientation_of(exif: bytes, xmp: bytes = b"") -> int:
    """The orientation from 1 to 8 that EXIF (a TIFF file without pixels) or else XMP says; 1 where none does."""
    with suppress(struct.error):
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
        if order:
            (start,) = struct.unpack_from(f"{order}I", exif, 4)
            (count,) = struct.unpack_from(f"{order}H", exif, start)
            for index in range(count):
                tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, start + 2 + 12 * index)
                if tag == _ORIENTATION:
                    return int(value) if 1 <= value <= 8 else 1
    found = _XMP_ORIENTATION.search(xmp)
    return int(found[1]) if found and b"1" <= found[1] <= b"8" else 1
