"""Results on disk: small trace records by key, and blobs by content.

    STORE/v1/traces/ab/ab12....json     what a call gave: for each output a JSON tree and the names of its blobs
    STORE/v1/blobs/cd/cd34....          tensors (safetensors) and byte strings (pictures), named by their BLAKE3
    STORE/v1/notes/ef/ef56....          a short text: the content key that a recipe key led to, or seconds

Files are written beside and renamed into place, blobs before the record that names them, so a reader sees whole
records only; every file is verified when it is read, and a damaged or missing one is a miss. Any number of processes
may share a store: equal keys mean equal content, so writers cannot disagree.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from weft.engine.errors import StoreError
from weft.engine.keys import Digest, digest_bytes
from weft.engine.store import Damaged, Handle, Made, Record
from weft.engine.store.codec import flatten, restore

LAYOUT = "v1"
USE_NOTED_EVERY = 3600.0
"""Seconds within which a record's use is noted once."""


@dataclass
class DiskStore:
    """A store in a folder.

    Args:
        folder: made when something is first put.
        written: bytes written by this process since the store was last weighed (`upkeep.keep_within`).
    """

    folder: Path
    written: int = 0

    def has(self, key: Digest) -> str | None:
        """`disk` where a whole record and all of its blobs are there (their content is verified when read).

        Raises:
            Damaged: where there is a record, but not a whole one.
        """
        trace = self._trace(key)
        if trace is None:
            return None
        missing = next((name for name in _blob_names(trace) if not self.blob_path(name).exists()), None)
        if missing:
            raise Damaged(key, f"blob {missing[:12]} is missing")
        return "disk"

    def get(self, key: Digest) -> Record | None:
        """The record; damage in it raises `Damaged` here, damage in a blob when its value is loaded."""
        trace = self._trace(key)
        if trace is None:
            return None
        self._touch(key)
        handles = {name: _handle(self, key, one) for name, one in trace["outputs"].items()}
        return Record(handles, trace["seconds"], "disk")

    def put(self, key: Digest, outputs: Mapping[str, Made], seconds: float, trace: Mapping[str, Any]) -> None:
        """Write blobs, then the record.

        Raises:
            StoreError: where the disk is full or the folder cannot be written.
        """
        with self._writing():
            kept = {name: self._put_value(made) for name, made in outputs.items()}
            self._put_trace(key, {"outputs": kept, "seconds": seconds, "trace": dict(trace)})

    def drop(self, key: Digest) -> None:
        """Remove a damaged record and those of its blobs that are not what they should be."""
        try:
            trace = self._trace(key)
        except Damaged:
            trace = None
        for name in _blob_names(trace) if trace else ():
            path = self.blob_path(name)
            if path.exists() and digest_bytes(path.read_bytes()) != name:
                path.unlink(missing_ok=True)
        self.trace_path(key).unlink(missing_ok=True)

    def recall(self, key: Digest) -> str | None:
        """The note under a key, or None."""
        try:
            return self._note_path(key).read_text()
        except (OSError, UnicodeDecodeError):
            return None

    def remember(self, key: Digest, note: str) -> None:
        """Keep a note.

        Raises:
            StoreError: where the disk is full or the folder cannot be written.
        """
        with self._writing():
            self._write(self._note_path(key), note.encode())

    def _touch(self, key: Digest) -> None:
        """Note that a record was used: what was not used for longest is pruned first."""
        path = self.trace_path(key)
        with suppress(OSError):  # a store that may only be read still serves
            if time.time() - path.stat().st_mtime > USE_NOTED_EVERY:
                os.utime(path)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as fault:
            raise StoreError(
                f"the store {self.folder} cannot be written: {fault.strerror or fault} "
                "(make room, or choose another folder with --store DIR or WEFT_STORE)"
            ) from fault

    @property
    def root(self) -> Path:
        """The folder of this layout."""
        return self.folder / LAYOUT

    def _note_path(self, key: Digest) -> Path:
        return self.root / "notes" / key[:2] / key

    def trace_path(self, key: Digest) -> Path:
        """Where the record of a key lies."""
        return self.root / "traces" / key[:2] / f"{key}.json"

    def blob_path(self, name: str) -> Path:
        """Where a blob lies."""
        return self.root / "blobs" / name[:2] / name

    def blobs_of(self, key: Digest) -> tuple[str, ...]:
        """The names of a record's blobs.

        Raises:
            Damaged: where the record is.
        """
        trace = self._trace(key)
        return tuple(_blob_names(trace)) if trace else ()

    def _trace(self, key: Digest) -> dict[str, Any] | None:
        """A record's JSON, verified against the digest in its first line."""
        try:
            content = self.trace_path(key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise Damaged(key, f"its record cannot be read: {fault.strerror}") from None
        check, _, body = content.partition(b"\n")
        if check != _check(key, body):
            raise Damaged(key, "its record is damaged")
        trace: dict[str, Any] = orjson.loads(body)
        return trace

    def _put_trace(self, key: Digest, trace: Mapping[str, Any]) -> None:
        body = orjson.dumps(trace)
        self._write(self.trace_path(key), _check(key, body) + b"\n" + body)

    def _put_value(self, made: Made) -> dict[str, Any]:
        parts = flatten(made.value)
        blobs = [self._put_blob(blob) for blob in parts.blobs]
        tensors = self._put_blob(_pack(parts.tensors)) if parts.tensors else None
        return {"digest": made.digest, "tree": parts.tree, "blobs": blobs, "tensors": tensors}

    def _write(self, path: Path, content: bytes) -> None:
        _place(path, content)
        self.written += len(content)

    def _put_blob(self, content: bytes) -> Digest:
        name = digest_bytes(content)
        path = self.blob_path(name)
        if not path.exists():
            self._write(path, content)
        return name

    def blob(self, key: Digest, name: str) -> bytes:
        """A blob's bytes.

        Raises:
            Damaged: where it is missing or not what it was.
        """
        try:
            content = self.blob_path(name).read_bytes()
        except OSError as fault:
            raise Damaged(key, f"blob {name[:12]} cannot be read: {fault.strerror}") from None
        if digest_bytes(content) != name:
            raise Damaged(key, f"blob {name[:12]} is damaged")
        return content


def _handle(store: DiskStore, key: Digest, output: Mapping[str, Any]) -> Handle:
    return Handle(Digest(output["digest"]), _Loader(store, key, output))


@dataclass(frozen=True)
class _Loader:
    """Loads one output; a value without tensors is loaded without torch."""

    store: DiskStore
    key: Digest
    output: Mapping[str, Any]

    def __call__(self) -> Any:
        name = self.output["tensors"]
        tensors = _unpack(self.store.blob(self.key, name)) if name else []
        blobs = self.output["blobs"]
        return restore(self.output["tree"], tensors.__getitem__, lambda index: self.store.blob(self.key, blobs[index]))


def _check(key: Digest, body: bytes) -> bytes:
    """What a record's first line must be: it binds the body to its key, so that no record passes for another."""
    return digest_bytes(key.encode() + body).encode()


def _blob_names(trace: Mapping[str, Any]) -> list[str]:
    outputs = trace["outputs"].values()
    return [name for one in outputs for name in (*one["blobs"], one["tensors"]) if name]


def _pack(tensors: list[Any]) -> bytes:
    from safetensors.torch import save

    return save({str(index): tensor.detach().cpu().contiguous().clone() for index, tensor in enumerate(tensors)})


def _unpack(content: bytes) -> list[Any]:
    from safetensors.torch import load

    found = load(content)
    return [found[str(index)] for index in range(len(found))]


def _place(path: Path, content: bytes) -> None:
    """Write beside and rename into place; nothing half-written is ever seen, and nothing is left behind."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        try:
            beside.write_bytes(content)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(content)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
