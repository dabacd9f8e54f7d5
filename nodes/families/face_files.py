"""Files with embeddings of faces, as InsightFace makes them: what their headers say. Imports no torch and no numpy."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass, replace
from pathlib import Path

from weft.engine import InputError, InputFile, Resolved, SearchPaths
from weft.nodes.models.safetensors_header import read_shapes

NUMPY = b"\x93NUMPY"
"""How a file of NumPy begins."""

MOST_FACES = 64
"""Faces of one file."""

LONGEST_HEADER = 2**16
"""Bytes of the header of a file of NumPy."""


@dataclass(frozen=True)
class FaceFacts:
    """What a header says of the embeddings of faces.

    Args:
        faces: how many there are.
        channels: numbers of each.
    """

    faces: int
    channels: int

    def __str__(self) -> str:
        return f"{self.faces} x {self.channels}"


def face_facts(path: Path) -> FaceFacts:
    """What the header of a file says.

    Raises:
        InputError: where it is no file of NumPy or safetensors, or has more than one tensor.
    """
    with path.open("rb") as file:
        head = file.read(LONGEST_HEADER) if file.read(len(NUMPY)) == NUMPY else b""
    if head:
        return _of_shape(_numpy_shape(head, path.name), path.name)
    shapes = read_shapes(path)
    if len(shapes) != 1:
        raise _no_faces(path.name, f"it has {len(shapes)} tensors")
    return _of_shape(next(iter(shapes.values())), path.name)


def _numpy_shape(head: bytes, name: str) -> tuple[int, ...]:
    """The shape of an array, from what follows the first bytes of its file."""
    size = 2 if head[0] == 1 else 4
    length = int.from_bytes(head[2 : 2 + size], "little")
    try:
        fields = ast.literal_eval(head[2 + size : 2 + size + length].decode("latin-1"))
        numbers = isinstance(fields["descr"], str) and fields["descr"][1:2] == "f"
        shape = tuple(int(side) for side in fields["shape"])
    except (ValueError, SyntaxError, LookupError, TypeError, MemoryError, RecursionError):
        raise _no_faces(name, "its header cannot be read") from None
    if not numbers or fields.get("fortran_order"):
        raise _no_faces(name, "its array is not one of floating-point numbers, row by row")
    return shape


def _of_shape(shape: tuple[int, ...], name: str) -> FaceFacts:
    channels = shape[-1] if shape else 0
    faces = math.prod(shape[:-1])
    if not 0 < channels <= 2**14 or not 0 < faces <= MOST_FACES:
        raise _no_faces(name, f"its shape is {list(shape)}")
    return FaceFacts(faces, channels)


def _no_faces(name: str, found: str) -> InputError:
    return InputError(
        f"`{name}` is no embedding of faces: {found}",
        "save the `normed_embedding` of InsightFace: `numpy.save(FILE, face.normed_embedding)`, one row a face",
        "wrong-kind-of-file",
    )


@dataclass(frozen=True)
class FaceFile(InputFile):
    """A file with embeddings of faces, with `FaceFacts` of its header."""

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The file, looked up as every input file is.

        Raises:
            InputError: where it is missing, or has no embeddings of faces.
        """
        found = super().resolve(text, places)
        return replace(found, facts=face_facts(found.root))


FACE_FILE = FaceFile((".npy", ".safetensors"))
"""A file of embeddings of faces that a node reads."""
