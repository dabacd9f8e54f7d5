"""Reading the tensors of safetensors and GGUF files: one at a time, each straight to where it is wanted.

Files are read and not mapped, so that one that is cut short meanwhile is an error and not the end of the process. What
a tensor passes through on its way to a device is freed before the next one is read. Imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import safe_open
from torch import Tensor

from weft.engine.device import DRY_DEVICE
from weft.engine.errors import ChangedFile
from weft.nodes.models.gguf_header import BLOCKS, stored_bytes
from weft.nodes.models.packed_renaming import Weights
from weft.nodes.models.packed_weights import BlockNumbers, PackedNumbers, ScaledNumbers
from weft.nodes.models.quantised_weights import FLOATS_8, is_scale, scale_name, scaled
from weft.nodes.models.safetensors_header import Header, read_header
from weft.nodes.models.stored_weights import stays_mapped

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""torch's types by the names of the format."""

_DEVICE: ContextVar[str] = ContextVar("where weights are read to", default="cpu")


@contextmanager
def reading_onto(device: str) -> Iterator[None]:
    """While open, weights of networks are read to a device."""
    token = _DEVICE.set(device)
    try:
        yield
    finally:
        _DEVICE.reset(token)


def reading_device() -> str:
    """The device that weights of networks are read to now."""
    return _DEVICE.get()


def file_weights(path: Path, prefix: str = "") -> Weights:
    """The tensors of a file whose names start with `prefix`, as the file has them, without it in their names.

    Those of quantised types, and 8-bit floats with their scales, stay packed. Under `mapped_weights` nothing is packed.

    Raises:
        ChangedFile: where the file is shorter than its header says by now.
    """
    if stays_mapped():
        return {name.removeprefix(prefix): one for name, one in mapped_tensors(path, prefix, None).items()}
    return _read_weights(path, prefix)


def _read_weights(path: Path, prefix: str) -> Weights:
    header, device = read_header(path), _DEVICE.get()
    with path.open("rb") as file:
        names = [name for name in header.shapes if name.startswith(prefix) and not is_scale(name)]
        return {name.removeprefix(prefix): _weight(file, path, header, name, device) for name in names}


def unpacked(weight: Tensor | PackedNumbers, dtype: torch.dtype | None = None) -> Tensor:
    """A weight as a tensor; 8-bit floats without scales stay what they are, others are in `dtype` or float32."""
    if isinstance(weight, Tensor):
        return weight
    if isinstance(weight, ScaledNumbers) and weight.scale is None:
        return weight.numbers
    return weight.unpacked(dtype or torch.float32)


def _weight(file: BinaryIO, path: Path, header: Header, name: str, device: str) -> Tensor | PackedNumbers:
    dtype, shape = header.dtypes[name], header.shapes[name]
    if dtype in BLOCKS:
        return _blocks(file, path, header, name, device)
    found = _tensor(file, path, header, name).to(device)
    scale = scale_name(name, header.shapes.keys())
    if scale is None and (dtype not in FLOATS_8 or not shape):
        return found
    packed = ScaledNumbers(found, None if scale is None else _tensor(file, path, header, scale).to(device))
    # Biases and norms are small, and no layer has them packed.
    return packed if len(shape) > 1 else packed.unpacked(torch.float32)


def _tensor(file: BinaryIO, path: Path, header: Header, name: str) -> Tensor:
    dtype = DTYPES[header.dtypes[name]]
    shape = header.shapes[name]
    count = torch.Size(shape).numel() * dtype.itemsize
    return _read(file, path, header.offsets[name], count).view(dtype).reshape(shape)


def _blocks(file: BinaryIO, path: Path, header: Header, name: str, device: str) -> Tensor | PackedNumbers:
    """A weight in GGUF's blocks; widened where its rows are no whole blocks, as in convolutions of few channels."""
    dtype, shape = header.dtypes[name], header.shapes[name]
    count = stored_bytes(dtype, shape)
    found = _read(file, path, header.offsets[name], count).to(device)
    if torch.Size(shape[1:]).numel() % BLOCKS[dtype][0] == 0:
        return BlockNumbers(found.reshape(shape[0], -1), dtype, shape)
    return BlockNumbers(found.reshape(1, -1), dtype, shape).unpacked(torch.float32)


def _read(file: BinaryIO, path: Path, start: int, count: int) -> Tensor:
    """Bytes of a file; any that come where nothing is computed from them."""
    found = torch.empty(count, dtype=torch.uint8)
    if _DEVICE.get() == DRY_DEVICE:
        return found
    file.seek(start)
    if file.readinto(found.numpy()) < count:  # type: ignore[attr-defined]
        raise ChangedFile(str(path))
    return found


def mapped_tensors(path: Path, prefix: str, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """The tensors of a file whose names start with `prefix`, as views of the file where nothing is to be computed."""
    header = read_header(path)
    if header.gguf:
        return {prefix + name: unpacked(one, dtype) for name, one in _read_weights(path, prefix).items()}
    found: dict[str, Tensor] = {}
    with safe_open(path, framework="pt") as file:
        for name in (name for name in header.shapes if name.startswith(prefix) and not is_scale(name)):
            one, scale = file.get_tensor(name), scale_name(name, header.shapes.keys())
            found[name] = one if scale is None else scaled(one, file.get_tensor(scale), dtype)
    return found
