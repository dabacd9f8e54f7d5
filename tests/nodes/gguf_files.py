"""GGUF files as publishers write them, from the tensors of a safetensors file.

Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 are quantised by llama.cpp's package; the others, which it only widens, are random bytes
with small scales. The numbers that a file stands for are those that the package reads back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy
import torch
from gguf.quants import dequantize, quantize

from tests.nodes.layouts import Tensors

KNOWN = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")
"""What the package quantises to."""

SCALES: Mapping[str, tuple[int, ...]] = {
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
}
"""Where a block of random bytes has its scales, in half precision."""


def blocks(weight: torch.Tensor, kind: str) -> tuple[numpy.ndarray, torch.Tensor]:
    """The bytes of a weight in blocks of a kind, and the numbers that they stand for."""
    number = gguf.GGMLQuantizationType[kind]
    if kind in KNOWN:
        packed = quantize(weight.float().numpy(), number)
    else:
        elements, size = gguf.GGML_QUANT_SIZES[number]
        drawn = numpy.random.default_rng(weight.numel())
        rows = drawn.integers(0, 256, (weight.numel() // elements, size), dtype=numpy.uint8)
        for place in SCALES[kind]:
            scales = drawn.uniform(2e-4, 6e-4, (len(rows), 1)).astype(numpy.float16)
            rows[:, place : place + 2] = scales.view(numpy.uint8)
        packed = rows.reshape(len(weight), -1)
    return packed, torch.from_numpy(dequantize(packed, number).reshape(tuple(weight.shape)).copy())


def write_gguf(path: Path, found: Tensors, kind: str, architecture: str, names: Mapping[str, str] = {}) -> Tensors:
    """Write tensors as a GGUF file, matrices in blocks where their rows are whole ones; what the file stands for.

    Args:
        names: of modules in the file, by names in `found`.
    """
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_quantization_version(2)
    elements = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]][0]
    meant: Tensors = {}
    for name, tensor in found.items():
        module, _, role = name.rpartition(".")
        there = f"{names[module]}.{role}" if module in names else name
        if tensor.ndim == 2 and tensor.shape[1] % elements == 0:
            data, meant[name] = blocks(tensor, kind)
            writer.add_tensor(there, data, raw_dtype=gguf.GGMLQuantizationType[kind])
        else:
            meant[name] = tensor.float()
            writer.add_tensor(there, tensor.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return meant
