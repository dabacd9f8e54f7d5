"""Texts in WebP files, as an XMP chunk behind the picture. They are added to finished bytes.

WebP container specification (RFC 9649), section 2: metadata needs the extended format, which begins with `VP8X`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from weft.engine import exif, xmp

_HAS_XMP, _HAS_ALPHA = 0x04, 0x10

MAX_CHUNKS = 1_000_000
"""Chunks after which a file is no longer read."""


def is_webp(head: bytes) -> bool:
    """Whether the first 12 bytes are those of a WebP file."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def with_text(content: bytes, texts: Mapping[str, str]) -> bytes:
    """The WebP with texts as XMP; one that has XMP already, or is not whole, stays as it is.

    Args:
        content: a whole WebP.
        texts: JSON by name of the property.
    """
    (size,) = struct.unpack_from("<I", content, 4)
    body = content[12 : 8 + size]
    head = _extended_head(body)
    if head is None:
        return content
    rest = body[18:] if body.startswith(b"VP8X") else body
    chunks = head + rest + b"\0" * (len(rest) % 2) + _chunk(b"XMP ", xmp.packet(texts))
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _extended_head(body: bytes) -> bytes | None:
    """The chunk `VP8X` that the chunks of a file need before XMP; None where they have XMP, or are not whole."""
    kind = body[:4]
    if kind == b"VP8X" and len(body) >= 18:
        if body[8] & _HAS_XMP:
            return None
        return body[:8] + bytes([body[8] | _HAS_XMP]) + body[9:18]
    if kind == b"VP8L" and len(body) >= 13 and body[8] == 0x2F:
        (bits,) = struct.unpack_from("<I", body, 9)
        return _vp8x(bits & 0x3FFF, bits >> 14 & 0x3FFF, _HAS_ALPHA if bits >> 28 & 1 else 0)
    if kind == b"VP8 " and len(body) >= 18 and body[11:14] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 14)
        return _vp8x((width & 0x3FFF) - 1, (height & 0x3FFF) - 1, 0)
    return None


def _vp8x(width: int, height: int, flags: int) -> bytes:
    """The chunk of a picture of `width + 1` times `height + 1` pixels."""
    size = width.to_bytes(3, "little") + height.to_bytes(3, "little")
    return _chunk(b"VP8X", bytes([flags | _HAS_XMP, 0, 0, 0]) + size)


def texts(file: BinaryIO, limit: int) -> dict[str, str]:
    """The texts of a WebP by name of the property, and those of other programs in its EXIF.

    Args:
        limit: the greatest size of the XMP chunk in bytes; a larger one is left out.
    """
    found: dict[str, str] = {}
    file.seek(12)
    for kind, length in _chunks(file):
        start = file.tell()
        if kind == b"XMP " and length <= 2 * limit:
            found |= xmp.properties(file.read(length))
        elif kind == b"EXIF" and length <= min(2 * limit, exif.MAX_EXIF):
            found = exif.texts(file.read(length)) | found
        file.seek(start + length + length % 2)
    return found


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and length of each chunk; the file is at its body then."""
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or not head[:4].isascii() or not head[:4].strip(b"\0"):
            return
        kind, length = struct.unpack("<4sI", head)
        yield kind, length
