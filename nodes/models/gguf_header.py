"""The header of a GGUF file: the names, shapes and types of its tensors, as those of a safetensors file.

The format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): a magic word, a version, the numbers of tensors
and of entries, the entries (name, type, value), then for each tensor its name, its sizes from the last axis to the
first, its type, and where it begins in the data. Numbers are little endian. Imports no torch.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, cast

from weft.engine import InputError
from weft.nodes.models.gguf_text_names import text_model_names
from weft.nodes.models.tensor_header import (
    LARGEST_SIZE,
    LONGEST_HEADER,
    LONGEST_NAME,
    MOST_AXES,
    MOST_TENSORS,
    Header,
)

BLOCKS: Mapping[str, tuple[int, int]] = {
    "Q4_0": (32, 18),
    "Q4_1": (32, 20),
    "Q5_0": (32, 22),
    "Q5_1": (32, 24),
    "Q8_0": (32, 34),
    "Q2_K": (256, 84),
    "Q3_K": (256, 110),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
    "IQ4_NL": (32, 18),
    "IQ4_XS": (256, 136),
}
"""The elements of a block and its bytes, for each type of quantised numbers that is read."""

PLAIN: Mapping[str, int] = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8}
"""The bytes of a number of the other types that are read."""

TYPES: Mapping[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    6: "Q5_0",
    7: "Q5_1",
    8: "Q8_0",
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    20: "IQ4_NL",
    23: "IQ4_XS",
    28: "F64",
    30: "BF16",
}
"""The types by their numbers in files."""

VERSIONS = (2, 3)
ALIGNMENT = 32
"""Bytes that the place of a tensor is a multiple of, where the file does not say otherwise."""

ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
"""What the name of the entry begins with that has the shape of a tensor which was written in another one."""

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""The letters in `struct` of the types of entries."""

_TEXT, _ARRAY = 8, 9
_LONGEST_ARRAY = 16
"""Elements of an array that are kept; those of longer ones, such as the words of tokenizers, are passed over."""


def read_gguf(path: Path, descriptor: int, size: int) -> Header:
    """The header of an open GGUF file; names of text models are those of transformers.

    Raises:
        InputError: where it cannot be read, is cut short, or has types of numbers that are not read.
    """
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        reader = _Reader(path, file)
        try:
            header = _header(path, reader, size)
        except (struct.error, UnicodeDecodeError, ValueError, OverflowError):
            raise _damaged(path, "its header cannot be read") from None
    names = text_model_names(header.metadata.get("general.architecture", ""), header.shapes)
    return _renamed(header, names) if names else header


class _Reader:
    """Reads the parts of a header, of a bounded size."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.place = 0

    def bytes(self, count: int) -> bytes:
        self.place += count
        if self.place > LONGEST_HEADER:
            raise _damaged(self.path, f"its header is longer than {LONGEST_HEADER:,} bytes")
        found = self.file.read(count)
        if len(found) < count:
            raise _damaged(self.path, "it ends within its header")
        return found

    def number(self, letter: str) -> int:
        return cast(int, struct.unpack(f"<{letter}", self.bytes(struct.calcsize(f"<{letter}")))[0])

    def text(self) -> str:
        return self.bytes(self.number("Q")).decode()

    def value(self, kind: int) -> str:
        """The value of an entry as a text; numbers of an array with spaces between them."""
        if kind == _TEXT:
            return self.text()
        if kind != _ARRAY:
            return str(self.number(_NUMBERS.get(kind, "")))
        inner, count = self.number("I"), self.number("Q")
        if inner == _ARRAY:
            raise ValueError
        if count <= _LONGEST_ARRAY:
            return " ".join(self.value(inner) for _ in range(count))
        if inner != _TEXT:
            self.bytes(count * struct.calcsize(f"<{_NUMBERS.get(inner, '')}"))
            return ""
        for _ in range(count):
            self.bytes(self.number("Q"))
        return ""


def _header(path: Path, reader: _Reader, size: int) -> Header:
    reader.bytes(4)
    version = reader.number("I")
    if version not in VERSIONS:
        raise _damaged(path, f"it is of version {version}, and {' and '.join(map(str, VERSIONS))} are read")
    tensors, entries = reader.number("Q"), reader.number("Q")
    if tensors > MOST_TENSORS or entries > MOST_TENSORS:
        raise ValueError
    metadata = dict(_entry(reader) for _ in range(entries))
    found = dict(_tensor(path, reader) for _ in range(tensors))
    alignment = int(metadata.get("general.alignment", ALIGNMENT))
    start = reader.place + -reader.place % alignment
    shapes = {name: shape for name, (shape, _, _) in found.items()}
    dtypes = {name: dtype for name, (_, dtype, _) in found.items()}
    ends = [place + stored_bytes(dtype, shape) for shape, dtype, place in found.values()]
    if size < start + max(ends, default=0):
        raise InputError(
            f"`{path.name}` is truncated: it has {size:,} bytes, its header tells of {start + max(ends):,}",
            "download it again",
            "damaged-file",
        )
    original = {name: _original_shape(name, shape, metadata) for name, shape in shapes.items()}
    return Header(original, dtypes, metadata, {name: start + place for name, (_, _, place) in found.items()}, True)


def _entry(reader: _Reader) -> tuple[str, str]:
    name, kind = reader.text(), reader.number("I")
    return name, reader.value(kind)


def _tensor(path: Path, reader: _Reader) -> tuple[str, tuple[tuple[int, ...], str, int]]:
    """The name of a tensor, with its shape, its type, and where it begins in the data."""
    name, axes = reader.text(), reader.number("I")
    if axes > MOST_AXES or len(name) > LONGEST_NAME:
        raise ValueError
    shape = tuple(reversed([reader.number("Q") for _ in range(axes)]))
    kind, place = reader.number("I"), reader.number("Q")
    if math.prod(shape) > LARGEST_SIZE or place > LARGEST_SIZE:
        raise ValueError
    if kind not in TYPES:
        raise InputError(
            f"`{path.name}` has weights of GGUF's type number {kind} (`{name}`), which are not read",
            f"get the model in one of {', '.join(BLOCKS)}",
            "unsupported-weights",
        )
    if TYPES[kind] in BLOCKS and (not shape or shape[-1] % BLOCKS[TYPES[kind]][0]):
        raise ValueError
    return name, (shape, TYPES[kind], place)


def stored_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """The bytes of a tensor of a type in a GGUF file."""
    if dtype in BLOCKS:
        elements, size = BLOCKS[dtype]
        return math.prod(shape) // elements * size
    return math.prod(shape) * PLAIN[dtype]


def _original_shape(name: str, shape: tuple[int, ...], metadata: Mapping[str, str]) -> tuple[int, ...]:
    """The shape of a tensor before it was written in another one, by the entry that says so."""
    given = tuple(map(int, metadata.get(ORIGINAL_SHAPE + name, "").split()))
    if given and (math.prod(given) != math.prod(shape) or len(given) > MOST_AXES):
        raise ValueError
    return given or shape


def _renamed(header: Header, names: Mapping[str, str]) -> Header:
    return Header(
        {names[name]: shape for name, shape in header.shapes.items()},
        {names[name]: dtype for name, dtype in header.dtypes.items()},
        header.metadata,
        {names[name]: place for name, place in header.offsets.items()},
        gguf=True,
    )


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"`{path.name}` cannot be read as GGUF: {what}", "download it again", "damaged-file")
