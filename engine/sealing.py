"""Sealed files: a first line with a digest that binds what follows to the file's name.

A reader notices any change of the content, and a file that took the place of another one. Records and notes of stores
are sealed, and so is the list of file digests. This detects damage; it is no protection against forgery.
"""

from __future__ import annotations

from weft.engine.keys import digest_bytes


def sealed(name: str, body: bytes) -> bytes:
    """The content of a sealed file: the digest of name and body, a newline, the body."""
    return digest_bytes(name.encode() + body).encode() + b"\n" + body


def opened(name: str, content: bytes) -> bytes | None:
    """The body that was sealed under a name; None where the content is not what was written."""
    body = content.partition(b"\n")[2]
    return body if content == sealed(name, body) else None
