"""Standard streams that are closed, full, or in an encoding without the characters that are printed.

`weft` prints in whatever encoding its output has: a character that the encoding lacks is written as an escape, drawing
characters as their ASCII likeness, and bytes of file names that are not UTF-8 as these bytes.
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

ERRORS = "weft.printed"
"""The name under which `_encodable` is known to codecs."""

_LIKENESS = str.maketrans("─━│┃┌┐└┘├┤┬┴┼╭╮╰╯▶→←•·…", "--||+++++++++++++>><**.")
"""ASCII characters that look like those that Weft draws with, one for one."""

_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})


def prepare() -> None:
    """Make the streams of this process usable, once, before anything is printed.

    A closed stream is opened on the null device: otherwise the next file that is opened, such as a picture, would take
    its place, and what libraries print would be written into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
    codecs.register_error(ERRORS, _encodable)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            null = Path(os.devnull).open("wb")  # noqa: SIM115 - for as long as the process lives
            setattr(sys, name, _Closed(null, encoding="utf-8", errors=ERRORS))
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


class _Closed(TextIOWrapper):
    """Stands for a stream that was closed when the process began."""


def is_closed(stream: TextIO) -> bool:
    """Whether the stream was closed when the process began, so that nobody reads it."""
    return isinstance(stream, _Closed)


def is_of_stream(fault: OSError) -> bool:
    """Whether an error was raised by printing: it names no file, as those of files that are opened or renamed do."""
    return fault.filename is None and fault.errno in _WRITING


def abandon(stream: TextIO) -> None:
    """Have what the stream still has go nowhere, so that the end of the process does not try to write it again."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _encodable(fault: UnicodeError) -> tuple[bytes, int]:
    """What stands for characters that the encoding of a stream lacks."""
    if not isinstance(fault, UnicodeEncodeError):
        raise fault
    return b"".join(map(_stand_in, fault.object[fault.start : fault.end])), fault.end


def _stand_in(character: str) -> bytes:
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00])
    return character.translate(_LIKENESS).encode("ascii", "backslashreplace")
