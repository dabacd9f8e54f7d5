"""The file of a record, read: its form is checked before anything in it is used.

A store may be shared, so whatever lies in it may have been written by somebody else. The names of blobs become parts of
paths, so anything but a digest is damage. A record names the key that it was put under, and the value classes in it
are built by their own constructors; no code comes out of a store.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict, cast

import orjson

from weft.engine.errors import CorruptRecord
from weft.engine.keys import Digest, is_digest


class StoredOutput(TypedDict):
    """An output: the digest of its value, the JSON tree of `codec.flatten`, and the names of the blobs in it."""

    digest: str
    tree: Any
    blobs: list[str]
    tensors: str | None


class StoredRecord(TypedDict, total=False):
    """A record: its outputs by name, the seconds of the call, and facts that are in no key.

    `key` is missing in records of Weft 0.1.
    """

    key: str
    outputs: dict[str, StoredOutput]
    seconds: float
    trace: dict[str, Any]


def packed(key: Digest, outputs: Mapping[str, StoredOutput], seconds: float, trace: Mapping[str, Any]) -> bytes:
    """The bytes of a record, which are sealed under its key."""
    return orjson.dumps({"key": key, "outputs": outputs, "seconds": seconds, "trace": trace})


def unpacked(key: Digest, body: bytes) -> StoredRecord:
    """The record in the body of a file.

    Args:
        key: that it was asked by.

    Raises:
        CorruptRecord: where it is of another form, or a record of another key.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise CorruptRecord(key, "its record is not JSON") from None
    if not _is_record(found):
        raise CorruptRecord(key, "its record is not of the form of one")
    if found.get("key", key) != key:
        raise CorruptRecord(key, "its record is that of another key")
    return cast(StoredRecord, found)


def blob_names(record: StoredRecord) -> Iterator[str]:
    """The names of a record's blobs."""
    for output in record["outputs"].values():
        yield from output["blobs"]
        if output["tensors"]:
            yield output["tensors"]


def _is_record(found: Any) -> bool:
    if not isinstance(found, dict) or not isinstance(found.get("outputs"), dict):
        return False
    seconds, trace = found.get("seconds"), found.get("trace")
    timed = isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0
    return timed and isinstance(trace, dict) and all(map(_is_output, found["outputs"].values()))


def _is_output(found: Any) -> bool:
    if not isinstance(found, dict) or not {"tree", "tensors"} <= found.keys() or not is_digest(found.get("digest")):
        return False
    blobs, tensors = found.get("blobs"), found.get("tensors")
    return isinstance(blobs, list) and all(map(is_digest, blobs)) and (tensors is None or is_digest(tensors))
