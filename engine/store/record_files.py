"""Results as files: small trace records by key, and blobs by content. `DiskStore` and `SharedStore` differ in where.

    traces/ab/ab12....json     what a call gave: for each output a JSON tree and the names of its blobs
    blobs/cd/cd34....          tensors (safetensors) and byte strings (pictures), named by their BLAKE3
    notes/ef/ef56....          a short text: the content key that a recipe key led to, or seconds

Blobs are written before the record that names them, so a reader sees whole records only. The first line of a record
or a note is a digest that binds what follows to its key; with the names of blobs this verifies every file when it is
read. Any number of processes may write at once: equal keys mean equal content, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from weft.engine.keys import Digest, digest_bytes
from weft.engine.store import Computed, CorruptRecord, Handle, Record
from weft.engine.store.codec import flatten, restore
from weft.engine.store.places import Files

LAYOUT = "v1"
"""The folder of this layout in a store."""


def trace_name(key: Digest) -> str:
    """The file of a record."""
    return f"traces/{key[:2]}/{key}.json"


def blob_name(name: str) -> str:
    """The file of a blob."""
    return f"blobs/{name[:2]}/{name}"


def note_name(key: Digest) -> str:
    """The file of a note."""
    return f"notes/{key[:2]}/{key}"


class FileStore:
    """Records, blobs and notes in files.

    Args:
        files: where they lie.
        tier: what this store is called in plans.
    """

    files: Files
    tier: ClassVar[str]

    def has(self, key: Digest) -> str | None:
        """The tier where a whole record and all of its blobs are there (their content is verified when read).

        Raises:
            CorruptRecord: where there is a record, but not a whole one.
        """
        trace = self._trace(key)
        if trace is None:
            return None
        missing = next((name for name in _blobs(trace) if not self.files.exists(blob_name(name))), None)
        if missing:
            raise CorruptRecord(key, f"blob {missing[:12]} is missing")
        return self.tier

    def get(self, key: Digest) -> Record | None:
        """The record; damage in it raises `CorruptRecord` here, damage in a blob when its value is loaded."""
        trace = self._trace(key)
        if trace is None:
            return None
        handles = {
            name: Handle(Digest(output["digest"]), _Loader(self, key, output))
            for name, output in trace["outputs"].items()
        }
        return Record(handles, trace["seconds"], self.tier)

    def put(self, key: Digest, outputs: Mapping[str, Computed], seconds: float, trace: Mapping[str, Any]) -> None:
        """Write blobs, then the record."""
        kept = {name: self._put_value(made) for name, made in outputs.items()}
        self._put_trace(key, {"outputs": kept, "seconds": seconds, "trace": dict(trace)})

    def copy(self, key: Digest, to: FileStore) -> None:
        """Put a record and its blobs into another store as they are, verified.

        Raises:
            CorruptRecord: where this store does not have all of it.
        """
        trace = self._trace(key)
        if trace is None:
            raise CorruptRecord(key, "its record is missing")
        for name in _blobs(trace):
            to._put_blob(self.blob(key, name))
        to._put_trace(key, trace)

    def drop(self, key: Digest) -> None:
        """Remove a damaged record and those of its blobs that are not what they should be."""
        try:
            names = self.blobs_of(key)
        except CorruptRecord:
            names = ()
        for name in names:
            if not self.is_whole(name):
                self.files.remove(blob_name(name))
        self.files.remove(trace_name(key))

    def recall(self, key: Digest) -> str | None:
        """The note under a key; None where there is none, or a damaged one."""
        try:
            return self.note(key)
        except CorruptRecord:
            return None

    def note(self, key: Digest) -> str | None:
        """The note under a key, or None.

        Raises:
            CorruptRecord: where it is not what was written.
        """
        body = self._body(note_name(key), key, "note")
        return None if body is None else body.decode()

    def remember(self, key: Digest, note: str) -> None:
        """Keep a note."""
        self.files.write(note_name(key), sealed(key, note.encode()))

    def blobs_of(self, key: Digest) -> tuple[str, ...]:
        """The names of a record's blobs.

        Raises:
            CorruptRecord: where the record is.
        """
        trace = self._trace(key)
        return tuple(_blobs(trace)) if trace else ()

    def trace_of(self, key: Digest) -> Mapping[str, Any]:
        """What is said beside a record: how and by what it was made.

        Raises:
            CorruptRecord: where the record is.
        """
        trace = self._trace(key)
        return trace["trace"] if trace else {}

    def blob(self, key: Digest, name: str) -> bytes:
        """A blob's bytes.

        Raises:
            CorruptRecord: where it is missing or not what it was.
        """
        try:
            content = self.files.read(blob_name(name))
        except OSError as fault:
            raise CorruptRecord(key, f"blob {name[:12]} cannot be read: {fault.strerror or fault}") from None
        if digest_bytes(content) != name:
            raise CorruptRecord(key, f"blob {name[:12]} is damaged")
        return content

    def is_whole(self, name: str) -> bool:
        """Whether a blob is what its name says, or is not there."""
        try:
            return digest_bytes(self.files.read(blob_name(name))) == name
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def _trace(self, key: Digest) -> dict[str, Any] | None:
        body = self._body(trace_name(key), key, "record")
        return None if body is None else orjson.loads(body)

    def _body(self, name: str, key: Digest, kind: str) -> bytes | None:
        """What a sealed file says, verified; None where there is none."""
        try:
            content = self.files.read(name)
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise CorruptRecord(key, f"its {kind} cannot be read: {fault.strerror or fault}") from None
        body = opened(key, content)
        if body is None:
            raise CorruptRecord(key, f"its {kind} is damaged")
        return body

    def _put_trace(self, key: Digest, trace: Mapping[str, Any]) -> None:
        self.files.write(trace_name(key), sealed(key, orjson.dumps(trace)))

    def _put_value(self, made: Computed) -> dict[str, Any]:
        parts = flatten(made.value)
        blobs = [self._put_blob(blob) for blob in parts.blobs]
        tensors = self._put_blob(_pack(parts.tensors)) if parts.tensors else None
        return {"digest": made.digest, "tree": parts.tree, "blobs": blobs, "tensors": tensors}

    def _put_blob(self, content: bytes) -> Digest:
        name = digest_bytes(content)
        if not self.files.exists(blob_name(name)):
            self.files.write(blob_name(name), content)
        return name


@dataclass(frozen=True)
class _Loader:
    """Loads one output; a value without tensors is loaded without torch."""

    store: FileStore
    key: Digest
    output: Mapping[str, Any]

    def __call__(self) -> Any:
        name = self.output["tensors"]
        tensors = _unpack(self.store.blob(self.key, name)) if name else []
        blobs = self.output["blobs"]
        return restore(self.output["tree"], tensors.__getitem__, lambda index: self.store.blob(self.key, blobs[index]))


def sealed(name: str, body: bytes) -> bytes:
    """A body under a line that binds it to its name, so that no change is missed and no file passes for another."""
    return digest_bytes(name.encode() + body).encode() + b"\n" + body


def opened(name: str, content: bytes) -> bytes | None:
    """The body of what was sealed under a name; None where it is not what was written."""
    body = content.partition(b"\n")[2]
    return body if content == sealed(name, body) else None


def _blobs(trace: Mapping[str, Any]) -> list[str]:
    outputs = trace["outputs"].values()
    return [name for one in outputs for name in (*one["blobs"], one["tensors"]) if name]


def _pack(tensors: list[Any]) -> bytes:
    from safetensors.torch import save

    return save({str(index): tensor.detach().cpu().contiguous().clone() for index, tensor in enumerate(tensors)})


def _unpack(content: bytes) -> list[Any]:
    from safetensors.torch import load

    found = load(content)
    return [found[str(index)] for index in range(len(found))]
