"""Texts in PNG files, which hold the graph of a picture. They are added to finished bytes; pixels are never changed.

PNG specification (Third Edition), sections 5.3 and 11.3.3. Texts are written as uncompressed `iTXt` and read from all
three kinds of text chunks, compressed or not, since other programs write them in other forms.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MAX_CHUNKS = 1_000_000
"""Chunks after which a file is no longer read."""


def with_text(content: bytes, texts: Mapping[str, str]) -> bytes:
    """The PNG with an uncompressed `iTXt` chunk for each text, before its end; one that has no end stays as it is.

    Args:
        content: a whole PNG.
        texts: UTF-8 texts by keyword (1 to 79 Latin-1 characters).
    """
    end = content.rfind(b"IEND") - 4
    if end < 0:
        return content
    chunks = b"".join(_chunk(keyword, text) for keyword, text in texts.items())
    return content[:end] + chunks + content[end:]


def _chunk(keyword: str, text: str) -> bytes:
    body = b"iTXt" + keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def texts(file: BinaryIO, limit: int) -> dict[str, str]:
    """The texts of a PNG, by keyword; a damaged file gives those before the damage.

    Args:
        limit: the greatest size of a text in bytes, unpacked; longer ones are left out.
    """
    found = {}
    for kind, body in _text_chunks(file, limit):
        keyword, zero, rest = body.partition(b"\0")
        text = _READERS[kind](rest, limit) if zero else None
        if text is not None:
            found[keyword.decode("latin-1")] = text
    return found


def _latin(rest: bytes, limit: int) -> str:
    """The text of `tEXt`: Latin-1, but some programs write UTF-8."""
    try:
        return rest.decode()
    except UnicodeDecodeError:
        return rest.decode("latin-1")


def _packed_latin(rest: bytes, limit: int) -> str | None:
    """The text of `zTXt`: its compression method, 0, and a zlib stream."""
    content = _unpacked(rest[1:], limit) if rest[:1] == b"\0" else None
    return None if content is None else _latin(content, limit)


def _international(rest: bytes, limit: int) -> str | None:
    """The text of `iTXt`: a flag, the compression method, language, translated keyword, UTF-8."""
    parts = rest[2:].split(b"\0", 2)
    if len(parts) != 3 or rest[:1] not in (b"\0", b"\1"):
        return None
    content = _unpacked(parts[2], limit) if rest[:1] == b"\1" else parts[2]
    return None if content is None else content.decode("utf-8", "replace")


_READERS = {b"tEXt": _latin, b"zTXt": _packed_latin, b"iTXt": _international}


def _unpacked(stream: bytes, limit: int) -> bytes | None:
    """What a zlib stream holds; None where it is damaged or holds more than `limit` bytes."""
    unpacking = zlib.decompressobj()
    try:
        content = unpacking.decompress(stream, limit)
    except zlib.error:
        return None
    return content if unpacking.eof else None


def _text_chunks(file: BinaryIO, limit: int) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each text chunk; what is between them is not read."""
    file.seek(len(SIGNATURE))
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or not head[4:].isalpha():
            return
        length, kind = struct.unpack(">I4s", head)
        if kind not in _READERS or length > limit + 128:
            file.seek(length + 4, 1)
            continue
        body = file.read(length + 4)
        if len(body) < length + 4:
            return
        yield kind, body[:length]
