"""Results as files: small trace records by key, and blobs by content. `DiskStore` and `SharedStore` differ in where.

    layout.json                   the version of all this (see `store_layout`)
    v1/traces/ab/ab12....json     a record: for each output a JSON tree and the names of its blobs
    v1/blobs/cd/cd34....          tensors (safetensors) and byte strings (pictures), named by their BLAKE3
    v1/notes/ef/ef56....          a note: a content key, seconds, or a graph's last run (see `notes`)

Blobs are written before the record that names them, so a reader sees whole records only. Records and notes are sealed
(`weft.engine.sealing`) under their keys; with the names of blobs this verifies every file when it is read. Any number
of processes may write at once: equal keys mean equal content, so they cannot disagree.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar

from weft.engine.errors import StoreError
from weft.engine.keys import Digest, digest_bytes, is_digest
from weft.engine.sealing import opened, sealed
from weft.engine.store import Computed, CorruptRecord, Handle, Note, Record, Store
from weft.engine.store.codec import content_digest, flatten, restore
from weft.engine.store.notes import N, pack, unpack
from weft.engine.store.places import Files
from weft.engine.store.trace_record import StoredOutput, StoredRecord, blob_names, packed, unpacked

FOLDER = "v1"
"""The folder of records, blobs and notes in a store."""


LARGEST_RECORD = 2**26
"""Bytes of a record or a note; a larger one is damage. Tensors and pictures are in blobs."""

LARGE_BLOB = 2**28
"""Bytes of a blob above which its digest is made before it is read into memory: a sparse file may say any size."""


def trace_name(key: Digest) -> str:
    """The file of a record."""
    return f"{FOLDER}/traces/{safe(key)[:2]}/{key}.json"


def blob_name(name: str) -> str:
    """The file of a blob."""
    return f"{FOLDER}/blobs/{safe(name)[:2]}/{name}"


def note_name(key: Digest) -> str:
    """The file of a note."""
    return f"{FOLDER}/notes/{safe(key)[:2]}/{key}"


def safe(name: str) -> str:
    """A name that may be a part of a path: a digest and nothing else, wherever it came from."""
    if not is_digest(name):
        raise CorruptRecord(Digest(name), "its name is no digest")
    return name


class FileStore(Store):
    """Records, blobs and notes in files.

    Args:
        files: where they lie.
        tier: the name of this store in plans.
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
        missing = next((name for name in blob_names(trace) if not self.files.exists(blob_name(name))), None)
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
        return Record(handles, trace["seconds"], self.tier, str(trace["trace"].get("type", "")))

    def put(self, key: Digest, outputs: Mapping[str, Computed], seconds: float, trace: Mapping[str, Any]) -> None:
        """Write blobs, then the record."""
        kept = {name: self._put_value(made) for name, made in outputs.items()}
        self._put_trace(key, kept, seconds, trace)

    def copy(self, key: Digest, to: Store) -> None:
        """Put a record into another store, verified; between stores of files the blobs' bytes stay as they are.

        Each value is compared with the digest that the record gives for it: keys of other results are made of that.

        Raises:
            CorruptRecord: where this store does not have all of it, or a value has another digest.
            StoreError: where the other store cannot be written.
        """
        trace = self._trace(key)
        if trace is None:
            raise CorruptRecord(key, "its record is missing")
        blobs = {name: self.blob(key, name) for name in blob_names(trace)}
        outputs = {}
        for name, output in trace["outputs"].items():
            value = _restored(key, output, blobs.__getitem__)
            try:
                same = content_digest(value) == output["digest"]
            except (RecursionError, TypeError):  # nested deeper than any value is, or of parts that no value has
                same = False
            if not same:
                raise CorruptRecord(key, f"the digest of its output `{name}` is that of another value")
            outputs[name] = Computed(value, Digest(output["digest"]))
        if isinstance(to, FileStore):  # saves taking tensors apart and putting them together again
            to.adopt(key, trace, [*blobs.values()])
        else:
            to.put(key, outputs, trace["seconds"], trace["trace"])

    def adopt(self, key: Digest, trace: StoredRecord, blobs: Sequence[bytes]) -> None:
        """Keep a record of another store of files, whose bytes were verified."""
        for blob in blobs:
            self._put_blob(blob)
        self._put_trace(key, trace["outputs"], trace["seconds"], trace["trace"])

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

    def recall(self, key: Digest, kind: type[N]) -> N | None:
        """The note of a type under a key; None where there is none, a damaged one, or one of another type."""
        try:
            note = self.note(key)
        except CorruptRecord:
            return None
        return note if isinstance(note, kind) else None

    def note(self, key: Digest) -> Note | None:
        """The note under a key; None where there is none, or one of a type that is not known here.

        Raises:
            CorruptRecord: where it is not what was written.
        """
        body = self.note_body(key)
        return None if body is None else unpack(body)

    def note_body(self, key: Digest) -> bytes | None:
        """The bytes of the note under a key, or None.

        Raises:
            CorruptRecord: where they are not what was written.
        """
        return self._body(note_name(key), key, "note")

    def remember(self, key: Digest, note: Note) -> None:
        """Keep a note."""
        self.files.write(note_name(key), sealed(key, pack(note)))

    def blobs_of(self, key: Digest) -> tuple[str, ...]:
        """The names of a record's blobs.

        Raises:
            CorruptRecord: where the record is.
        """
        trace = self._trace(key)
        return tuple(blob_names(trace)) if trace else ()

    def trace_of(self, key: Digest) -> Mapping[str, Any]:
        """The facts kept with a record: how and by what it was made.

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
        file = blob_name(name)
        try:
            content = self._small(file)
            if content is None and self.files.digest(file) == name:
                content = self.files.read(file)
        except OSError as fault:
            raise CorruptRecord(key, f"blob {name[:12]} cannot be read: {fault.strerror or fault}") from None
        if content is None or digest_bytes(content) != name:
            raise CorruptRecord(key, f"blob {name[:12]} is damaged")
        return content

    def _small(self, file: str) -> bytes | None:
        """The bytes of a file, or None where it is large."""
        try:
            return self.files.read(file, LARGE_BLOB)
        except OSError as fault:
            if fault.errno == errno.EFBIG:
                return None
            raise

    def is_whole(self, name: str) -> bool:
        """Whether a blob's bytes have the digest that names it, or it is not there."""
        try:
            return self.files.digest(blob_name(name)) == name
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def _trace(self, key: Digest) -> StoredRecord | None:
        body = self._body(trace_name(key), key, "record")
        return None if body is None else unpacked(key, body)

    def _body(self, name: str, key: Digest, kind: str) -> bytes | None:
        """The body of a sealed file, verified; None where there is none."""
        try:
            content = self.files.read(name, LARGEST_RECORD)
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise CorruptRecord(key, f"its {kind} cannot be read: {fault.strerror or fault}") from None
        body = opened(key, content)
        if body is None:
            raise CorruptRecord(key, f"its {kind} is damaged")
        return body

    def _put_trace(
        self, key: Digest, outputs: Mapping[str, StoredOutput], seconds: float, trace: Mapping[str, Any]
    ) -> None:
        self.files.write(trace_name(key), sealed(key, packed(key, outputs, seconds, trace)))

    def _put_value(self, made: Computed) -> StoredOutput:
        parts = flatten(made.value)
        blobs: list[str] = [self._put_blob(blob) for blob in parts.blobs]
        tensors = self._put_blob(pack_tensors(parts.tensors)) if parts.tensors else None
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
    output: StoredOutput

    def __call__(self) -> Any:
        # A tree may name a blob any number of times: it is in memory once.
        return _restored(self.key, self.output, cache(partial(self.store.blob, self.key)))


def _restored(key: Digest, output: StoredOutput, blob: Callable[[str], bytes]) -> Any:
    """The value of an output.

    Args:
        blob: gives a blob by its name.

    Raises:
        CorruptRecord: where there is no such value, whatever a stranger may have written.
        StoreError: where no installed library has a class of it.
    """
    try:
        tensors = unpack_tensors(blob(output["tensors"])) if output["tensors"] else []
        return restore(output["tree"], tensors.__getitem__, lambda index: blob(output["blobs"][index]))
    except StoreError:
        raise
    except Exception as fault:  # the constructors of value classes raise what they like
        raise CorruptRecord(key, f"its value cannot be built: {type(fault).__name__}: {fault}") from fault


def pack_tensors(tensors: list[Any]) -> bytes:
    """Tensors as one safetensors file, named by their numbers."""
    from safetensors.torch import save

    return save({str(index): tensor.detach().cpu().contiguous().clone() for index, tensor in enumerate(tensors)})


def unpack_tensors(content: bytes) -> list[Any]:
    """The tensors of a file of `pack_tensors`, in their order."""
    from safetensors.torch import load

    found = load(content)
    return [found[str(index)] for index in range(len(found))]
