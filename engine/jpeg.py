"""Texts in JPEG files, as XMP in segments before the picture. They are added to finished bytes.

ITU-T T.81, section B; XMP specification, part 3, sections 1.1.3 and 1.1.3.1: what does not fit into one segment of
64 KB is split over several (extended XMP).
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import BinaryIO

from weft.engine import exif, xmp

SIGNATURE = b"\xff\xd8\xff"

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"
_EXIF = b"Exif\0\0"
_HEAD = len(_EXTENDED) + 40
"""Bytes before the part of an extended packet: its name of 32 digits, its length and the offset of the part."""

_NOTE = "http://ns.adobe.com/xmp/note/"
_APP0, _APP1, _SCAN = 0xE0, 0xE1, 0xDA
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length."""

MAX_SEGMENTS = 100_000
"""Segments after which a file is no longer read."""

_PART = 65_000
"""Bytes of an extended packet in one segment; with its head it stays below 65,533."""


def with_text(content: bytes, texts: Mapping[str, str]) -> bytes:
    """The JPEG with texts as XMP, behind its other metadata; one that has XMP already stays as it is.

    Args:
        content: a whole JPEG.
        texts: JSON by name of the property.
    """
    place = 2
    for kind, start, end in _segments(BytesIO(content)):
        if kind == _APP1 and content.startswith(_XMP, start):
            return content
        if kind in (_APP0, _APP1):
            place = end
    packet = xmp.packet(texts)
    added = _segment(_XMP + packet) if len(packet) <= _PART else _split(packet)
    return content[:place] + added + content[place:]


def _split(packet: bytes) -> bytes:
    """An extended packet in several segments, and a main packet that announces it."""
    import hashlib

    name = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper()
    main = xmp.packet({}, {"xmlns:xmpNote": _NOTE, "xmpNote:HasExtendedXMP": name})
    parts = [_segment(_XMP + main)]
    for start in range(0, len(packet), _PART):
        head = _EXTENDED + name.encode() + struct.pack(">II", len(packet), start)
        parts.append(_segment(head + packet[start : start + _PART]))
    return b"".join(parts)


def _segment(body: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def _segments(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Kind, start and end of the body of each segment before the picture."""
    position = 2
    for _ in range(MAX_SEGMENTS):
        file.seek(position)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] == _SCAN:
            return
        if head[1] == 0xFF or head[1] in _ALONE:  # a fill byte, or a marker by itself
            position += 1 if head[1] == 0xFF else 2
            continue
        length = int.from_bytes(head[2:], "big")
        if length < 2:
            return
        yield head[1], position + 4, position + 2 + length
        position += 2 + length


def texts(file: BinaryIO, limit: int) -> dict[str, str]:
    """The texts of a JPEG by name of the property, and those of other programs in its EXIF.

    Args:
        limit: the greatest size of all XMP in bytes; what lies behind that is left out.
    """
    found: dict[str, str] = {}
    extended: defaultdict[bytes, dict[int, bytes]] = defaultdict(dict)
    for body in _metadata(file, 2 * limit):
        if body.startswith(_XMP):
            found |= xmp.properties(body.removeprefix(_XMP))
        elif body.startswith(_EXIF):
            found = exif.texts(body) | found
        elif body.startswith(_EXTENDED) and len(body) >= _HEAD:
            offset = int.from_bytes(body[_HEAD - 4 : _HEAD], "big")
            extended[body[len(_EXTENDED) : _HEAD - 8]][offset] = body[_HEAD:]
    for parts in extended.values():
        found |= xmp.properties(b"".join(parts[offset] for offset in sorted(parts)))
    return found


def _metadata(file: BinaryIO, limit: int) -> Iterator[bytes]:
    """The bodies of the segments that may hold XMP, so many bytes at the most."""
    for kind, start, end in _segments(file):
        if kind == _APP1 and (limit := limit - (end - start)) >= 0:
            file.seek(start)
            yield file.read(end - start)
