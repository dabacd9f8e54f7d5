"""Files that callers send, for graphs to name: kept by the digest of their content, within a budget.

The name of an upload is its SHA-256 with an ending that its first bytes decide, such as `3f7a....png`; a graph gives
that as the path of a picture. Whoever does not know the content cannot name it. What was unused for longest goes
first, but nothing that a run which waits or runs needs.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from anyio.to_thread import run_sync

from weft.engine.errors import InputError
from weft.engine.folder_budget import MOST_FILES, keep_within

UPLOAD_NAME = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{1,12}\Z")

HEAD = 64
"""How many first bytes decide what a file is."""

_MAGIC: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), ".png", "image/png"),
    (re.compile(rb"\xff\xd8\xff"), ".jpg", "image/jpeg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), ".webp", "image/webp"),
    (re.compile(rb"RIFF....WAVE", re.DOTALL), ".wav", "audio/wav"),
    (re.compile(rb"fLaC"), ".flac", "audio/flac"),
    (re.compile(rb"OggS"), ".ogg", "audio/ogg"),
    (re.compile(rb"ID3|\xff[\xfb\xf3\xf2]"), ".mp3", "audio/mpeg"),
    (re.compile(rb"....ftypqt", re.DOTALL), ".mov", "video/quicktime"),
    (re.compile(rb"....ftyp", re.DOTALL), ".mp4", "video/mp4"),
    (re.compile(rb"\x1aE\xdf\xa3"), ".webm", "video/webm"),
    (re.compile(rb".{6}\x00\x00\{", re.DOTALL), ".safetensors", "application/x-safetensors"),
)
"""What files may be sent: how they begin, their ending and media type."""


class TooLarge(Exception):  # noqa: N818 - an answer rather than a fault
    """A file has more bytes than may be sent."""


class WrongDigest(Exception):  # noqa: N818 - an answer rather than a fault
    """A file is not what its sender says it is."""


class NoRoom(Exception):  # noqa: N818 - an answer rather than a fault
    """What runs need takes all the room that there is."""


@dataclass(frozen=True)
class Upload:
    """A file that was sent."""

    name: str
    media_type: str
    bytes: int


@dataclass(eq=False)
class Uploads:
    """Uploads in a folder.

    Args:
        most_bytes: the largest file.
        budget: bytes of all files; those that were not used for longest are removed beyond it.
        most: all files, however small they are.
    """

    folder: Path
    most_bytes: int = 256 * 2**20
    budget: int = 4 * 2**30
    most: int = MOST_FILES
    _held: dict[str, frozenset[str]] = field(default_factory=dict, repr=False)
    """The files that runs need which wait or run, by their ids."""
    _bytes_left: int = -1
    _files_left: int = -1
    """What may still come before the folder is looked at again."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for rest in self.folder.glob(".part-*"):  # of a server that ended while they came
            rest.unlink(missing_ok=True)

    async def receive(self, chunks: AsyncIterator[bytes], digest: str = "") -> Upload:
        """Keep a file as it comes; nothing of it is kept unless it comes whole.

        Args:
            digest: its SHA-256, where the sender says so.

        Raises:
            TooLarge: where it has more bytes than may be sent.
            WrongDigest: where it is not what the sender says.
            InputError: where it is of no kind that may be sent (`wrong-kind-of-file`).
            NoRoom: where what runs need leaves none.
            OSError: where it cannot be written, as on a full disk.
        """
        part = self.folder / f".part-{secrets.token_hex(8)}"
        sha, size, head = hashlib.sha256(), 0, b""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)  # somebody may have emptied the server's folder
            with part.open("xb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self.most_bytes:
                        raise TooLarge
                    head = (head + chunk[:HEAD])[:HEAD] if len(head) < HEAD else head
                    sha.update(chunk)
                    await run_sync(file.write, chunk)
            if digest and sha.hexdigest() != digest:
                raise WrongDigest
            return await run_sync(self._keep, part, head, sha.hexdigest(), size)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _keep(self, part: Path, head: bytes, digest: str, size: int) -> Upload:
        ending, media_type = kind_of(head)
        name = f"{digest}{ending}"
        with self._lock:
            part.replace(self.folder / name)
            self._bytes_left, self._files_left = self._bytes_left - size, self._files_left - 1
            if self._bytes_left < 0 or self._files_left < 0:
                self._make_room(name)
        return Upload(name, media_type, size)

    def _make_room(self, new: str) -> None:
        """Remove what was unused for longest, and a tenth more than has to go, so that this is seldom."""
        held = frozenset[str]().union(*list(self._held.values()))
        most = int(self.most * 0.9)
        total, count = keep_within(self.folder, UPLOAD_NAME, int(self.budget * 0.9), held | {new}, most)
        if (total > self.budget or count > self.most) and new not in held:
            (self.folder / new).unlink(missing_ok=True)
            raise NoRoom
        self._bytes_left, self._files_left = self.budget - total, self.most - count

    def hold(self, run: str, names: Iterable[str]) -> None:
        """Keep files for a run that waits or runs."""
        if found := frozenset(names):
            self._held[run] = found

    def release(self, run: str) -> None:
        """A run has ended."""
        self._held.pop(run, None)

    def find(self, name: str) -> Path | None:
        """The file of a name; None where there is none."""
        if not UPLOAD_NAME.match(name):
            return None
        path = self.folder / name
        return path if path.is_file() else None

    def used(self, text: bytes) -> frozenset[str]:
        """Count the files that a graph names as used now; their names.

        Args:
            text: the graph, as a graph file has it.
        """
        names = frozenset(name.decode() for name in re.findall(rb"\b[0-9a-f]{64}\.[a-z0-9]{1,12}\b", text))
        for name in names:
            with suppress(OSError):
                os.utime(self.folder / name)
        return names


def kind_of(head: bytes) -> tuple[str, str]:
    """The ending and the media type of a file by its first bytes.

    Raises:
        InputError: where it may not be sent.
    """
    for pattern, ending, media_type in _MAGIC:
        if pattern.match(head):
            return ending, media_type
    message = "the file is no picture, clip, sound or safetensors file"
    raise InputError(message, f"send one of {', '.join(ending for _, ending, _ in _MAGIC)}", "wrong-kind-of-file")


def media_type_of(name: str) -> str:
    """The media type of an upload by its name."""
    ending = Path(name).suffix
    return next((media_type for _, known, media_type in _MAGIC if known == ending), "application/octet-stream")
