"""PNG text chunks, which hold the graph of a picture. They are added to finished bytes; pixels are never changed.

PNG specification (Third Edition), sections 5.3 and 11.3.3.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def is_png(content: bytes) -> bool:
    """Whether the bytes begin as a PNG does."""
    return content.startswith(SIGNATURE)


def with_text(content: bytes, texts: Mapping[str, str]) -> bytes:
    """The PNG with an uncompressed `iTXt` chunk for each text, before its end.

    Args:
        content: a whole PNG.
        texts: UTF-8 texts by keyword (1 to 79 Latin-1 characters).
    """
    end = content.rindex(b"IEND") - 4
    chunks = b"".join(_chunk(keyword, text) for keyword, text in texts.items())
    return content[:end] + chunks + content[end:]


def _chunk(keyword: str, text: str) -> bytes:
    body = b"iTXt" + keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def texts(content: bytes) -> dict[str, str]:
    """The uncompressed `iTXt` texts of a PNG, by keyword; a damaged file gives those before the damage."""
    found = {}
    for kind, body in _chunks(content):
        if kind == b"iTXt":
            keyword, _, rest = body.partition(b"\0")
            if rest[:1] == b"\0":
                language_and_text = rest[2:].split(b"\0", 2)
                found[keyword.decode("latin-1")] = language_and_text[-1].decode("utf-8", "replace")
    return found


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(SIGNATURE)
    while position + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, position)
        if position + 12 + length > len(content):
            return
        yield content[position + 4 : position + 8], content[position + 8 : position + 8 + length]
        position += length + 12
