"""One canonical encoder behind every digest: equal bytes exactly when values and their types are equal.

Each value is written as a one-byte tag, a length where the tag does not fix it, and its content, so that no two
values share an encoding: `1`, `1.0`, `"1"` and `True` differ, and so do `["ab"]` and `["a", "b"]`. A type the
encoder does not know raises; nothing falls back to `repr` or `hash`.

Three keys name a call: by what it is made from, by the values that arrive at it, and by what it says itself
(`KeyHeads`). Digests of values are made by `weft.engine.store.codec`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from blake3 import blake3


class Digest(str):
    """A digest in hexadecimal; encoded under its own tag, so a key never equals a string literal."""

    __slots__ = ()


_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


def is_digest(text: object) -> bool:
    """Whether a text from outside has the form of a digest, so that it may be used as one and in the name of a file."""
    return isinstance(text, str) and _DIGEST.match(text) is not None


class EncodedBytes(bytes):
    """Canonical bytes, made already; they stand for what they were made from."""

    __slots__ = ()


_LENGTH = struct.Struct(">Q").pack

_READ_AT_ONCE = 4 * 2**20
"""Bytes of a file that are hashed at once: enough for all cores, and little memory."""


def _sized(tag: bytes, content: bytes) -> bytes:
    return tag + _LENGTH(len(content)) + content


def _text(text: str) -> bytes:
    content = text.encode("utf-8", "surrogatepass")
    return b"S" + _LENGTH(len(content)) + content


_KEY = b"K" + _LENGTH(32)

_name = lru_cache(4096)(_text)
"""Names of inputs and fields: few, and encoded once for each node."""

_LITERAL = _text("literal")


def _sequence(items: list[Any] | tuple[Any, ...]) -> bytes:
    content = b"".join([_ENCODERS.get(type(item), encode)(item) for item in items])
    return b"L" + _LENGTH(len(content)) + content


def _mapping(items: Mapping[str, Any]) -> bytes:
    pairs = [(_name(name) if type(name) is str else encode(name)) + encode(item) for name, item in items.items()]
    return _sized(b"M", b"".join(sorted(pairs)))


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: lambda value: _sized(b"I", str(value).encode()),
    float: lambda value: b"D" + struct.pack(">d", value),
    str: _text,
    bytes: lambda value: _sized(b"B", value),
    Digest: lambda value: _KEY + bytes.fromhex(value),
    EncodedBytes: lambda value: value,
    list: _sequence,
    tuple: _sequence,
    dict: _mapping,
}


def encode(value: Any) -> bytes:
    """The canonical bytes of a value made of None, bool, int, float, str, bytes, `Digest`, sequences and mappings.

    A mapping's order does not matter, a sequence's does; lists and tuples are one kind of sequence.

    Raises:
        TypeError: for any other type.
    """
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        if isinstance(value, Mapping):
            return _mapping(value)
        raise TypeError(f"a {type(value).__name__} has no canonical encoding")
    return encoder(value)


def digest(value: Any) -> Digest:
    """BLAKE3 of the value's canonical bytes."""
    return Digest(blake3(encode(value)).hexdigest())


def digest_bytes(content: bytes | memoryview) -> Digest:
    """BLAKE3 of raw bytes: the name of a blob."""
    return Digest(blake3(content).hexdigest())


def digest_file(path: Path) -> Digest:
    """BLAKE3 of a file's content."""
    with path.open("rb", buffering=0) as file:
        return digest_open_file(file.fileno())


def digest_open_file(handle: int) -> Digest:
    """BLAKE3 of the content of an open file, from its beginning, on all cores.

    It is read rather than mapped: a process that has a file mapped is ended by the system if somebody cuts it short.

    Args:
        handle: a descriptor that can be read.
    """
    hasher, buffer = blake3(max_threads=blake3.AUTO), memoryview(bytearray(_READ_AT_ONCE))
    with open(handle, "rb", buffering=0, closefd=False) as file:
        while length := file.readinto(buffer):
            hasher.update(buffer[:length])
    return Digest(hasher.hexdigest())


def reference(kind: str, digest: Digest, name: str | None = None) -> bytes:
    """`(kind, digest, name)` or `(kind, digest)`, encoded: the form of most linked inputs in keys."""
    content = _name(kind) + _KEY + bytes.fromhex(digest) + (b"" if name is None else _name(name))
    return b"L" + _LENGTH(len(content)) + content


def literal(value: Any) -> bytes:
    """`("literal", value)`, encoded: the form of most other inputs in keys."""
    content = _LITERAL + _ENCODERS.get(type(value), encode)(value)
    return b"L" + _LENGTH(len(content)) + content


class KeyHeads(NamedTuple):
    """The common beginnings of the keys of all calls of a node type, by the kind of the key.

    Args:
        recipe: of keys by what a call is made from, known before anything runs: for a link, the recipe key that it
            comes from and the output's name.
        content: of keys by values: for a link, the digest of the value. Results are kept under them: if a changed node
            gives an equal value, the keys below it stay the same.
        partial: of keys without links. If a store does not have one, it has no result of the node under any content
            key.
    """

    recipe: bytes
    content: bytes
    partial: bytes


@lru_cache(4096)
def key_heads(identity: tuple[Any, ...], settings: tuple[tuple[str, Any], ...]) -> KeyHeads:
    """The beginnings of the keys of a node type's calls.

    Args:
        identity: identifies the node type: name, version, and for a user's file its digest.
        settings: the resolved engine settings that change the node's result (precision).
    """
    return KeyHeads(*(encode(kind) + encode(identity) + encode(dict(settings)) for kind in KeyHeads._fields))


def named(name: str, content: bytes) -> bytes:
    """An input as `encode_inputs` takes it: its name, and what it is given, encoded."""
    return _name(name) + content


def encode_inputs(inputs: list[bytes]) -> bytes:
    """The canonical bytes of a mapping, by its encoded pairs; sorts them."""
    inputs.sort()
    content = b"".join(inputs)
    return b"M" + _LENGTH(len(content)) + content


def call_key(head: bytes, inputs: bytes) -> Digest:
    """The key of one call: the digest of `(kind, identity, settings, inputs)`.

    Args:
        head: of its node type, by the kind of the key.
        inputs: what it is given, by `encode_inputs`.
    """
    return digest_sequence(head, inputs)


def digest_sequence(*encoded: bytes) -> Digest:
    """The digest of a sequence, by its encoded elements, one after another."""
    content = b"".join(encoded)
    return Digest(blake3(b"L" + _LENGTH(len(content)) + content).hexdigest())


@lru_cache(1024)
def cost_key(kind: tuple[Any, ...]) -> Digest:
    """The key under which a store notes the seconds of calls of a kind: a node type, a device, a model."""
    return digest(("pace", kind))


def memory_key(kind: tuple[Any, ...]) -> Digest:
    """The key under which a store notes the memory of calls of a kind: a node type, a model, a precision, a size."""
    return digest(("memory", kind))
