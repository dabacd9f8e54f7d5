"""Chunks of a PNG that Pillow reads and no picture needs: texts and colour profiles, which it refuses above 1 MB."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_LEFT_OUT = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})
_XMP = b"XML:com.adobe.xmp\0\0"
"""How an uncompressed text with XMP begins; it may have the orientation."""

_MAX_XMP = 1_000_000
_MAX_PROFILE = 2**24
"""Bytes of a colour profile that are read; a longer one cannot be used."""


def without_texts(content: bytes) -> bytes:
    """A PNG without its texts and its colour profile; a file that has none, or is no PNG, as it is."""
    if not content.startswith(SIGNATURE):
        return content
    left_out = [
        (start, end) for kind, start, end in _chunks(content) if kind in _LEFT_OUT and not _xmp(content, start, end)
    ]
    if not left_out:
        return content
    starts, ends = zip(*left_out, strict=True)
    return b"".join(content[start:end] for start, end in zip((0, *ends), (*starts, len(content)), strict=True))


def profile_of(content: bytes) -> bytes | None:
    """The colour profile of a PNG; None where it has none that can be read, and for other files."""
    if not content.startswith(SIGNATURE):
        return None
    for kind, start, end in _chunks(content):
        if kind == b"iCCP":
            _, _, packed = content[start + 8 : end - 4].partition(b"\0")
            with suppress(zlib.error):
                return zlib.decompressobj().decompress(packed[1:], _MAX_PROFILE)
        if kind == b"IDAT":
            break
    return None


def _xmp(content: bytes, start: int, end: int) -> bool:
    return end - start <= _MAX_XMP and content.startswith(_XMP, start + 8)


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk."""
    position = len(SIGNATURE)
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        if not kind.isalpha():
            return
        yield kind, position, position + 12 + length
        position += 12 + length
