"""The state of a call that takes hours, in one file: what it goes on from where its process ended before it did.

    v1/states/ab/ab12....         sealed under the content key of the call: a JSON tree, tensors, byte strings

A file is replaced whole by the next state, and removed once the result is kept. So a call that writes a state each
minute leaves nothing behind, as blobs named by their content would.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from weft.engine.errors import CorruptRecord
from weft.engine.keys import Digest
from weft.engine.sealing import opened, sealed
from weft.engine.store.codec import flatten, restore
from weft.engine.store.record_files import FOLDER, pack_tensors, safe, unpack_tensors

STATES = "states"
"""The folder of states in a store."""


def state_name(key: Digest) -> str:
    """The file of the state of a call."""
    return f"{FOLDER}/{STATES}/{safe(key)[:2]}/{key}"


def pack_state(key: Digest, state: Mapping[str, Any]) -> bytes:
    """A state as the content of its file.

    Raises:
        TypeError: for what cannot be stored.
    """
    parts = flatten(dict(state))
    pieces = [pack_tensors(parts.tensors), *parts.blobs]
    head = orjson.dumps({"tree": parts.tree, "sizes": [*map(len, pieces)]})
    return sealed(key, b"".join([head, b"\n", *pieces]))


def unpack_state(key: Digest, content: bytes) -> Mapping[str, Any]:
    """The state in the content of a file.

    Raises:
        CorruptRecord: where it is not what was written, or is of a value that no installed library has.
    """
    body = opened(key, content)
    if body is None:
        raise CorruptRecord(key, "its state is damaged")
    try:
        line, _, rest = body.partition(b"\n")
        head = orjson.loads(line)
        pieces = []
        for size in head["sizes"]:
            pieces.append(rest[:size])
            rest = rest[size:]
        tensors = unpack_tensors(pieces[0])
        state = restore(head["tree"], tensors.__getitem__, pieces[1:].__getitem__)
        return dict(state)
    except Exception as fault:  # whoever may write to the store may have written anything
        raise CorruptRecord(key, f"its state cannot be read: {type(fault).__name__}: {fault}") from fault
