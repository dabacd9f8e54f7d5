"""The header of a safetensors file, read without torch, and what its tensor names say about the file.

The format: eight bytes with the header's length (little endian), a JSON object (name -> dtype, shape, offsets into the
data), then the data (https://github.com/huggingface/safetensors).
"""

from __future__ import annotations

import errno
import math
import os
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from weft.engine import InputError
from weft.engine.file_memory import FileMemory
from weft.engine.regular_file import UNFIT, opened_regular
from weft.nodes.models.gguf_header import read_gguf
from weft.nodes.models.tensor_header import (
    LARGEST_SIZE,
    LONGEST_HEADER,
    LONGEST_NAME,
    MOST_AXES,
    MOST_TENSORS,
)
from weft.nodes.models.tensor_header import Header as Header
from weft.nodes.models.tensor_header import Shapes as Shapes

BLOCK = 2**21
"""At least the bytes that a file system writes at once: those of the header's own block count as written."""

LARGEST_HOLE = 2**26
"""Bytes at the beginning of the data that may never have been written."""

PICKLES = frozenset({".ckpt", ".pt", ".pth", ".bin", ".pkl"})


GGUF = b"GGUF"
"""What a file in llama.cpp's format begins with, whatever it is called."""

ENDINGS = (".safetensors", ".gguf")
"""The endings of files of weights that are read."""


FORMATS: Mapping[str, tuple[int, str]] = {"F64": (8, "d"), "F32": (4, "f"), "F16": (2, "e")}
"""The bytes and the letter in `struct` of a type of numbers."""

MOST_NUMBERS = 64
"""The most elements of a tensor that `read_numbers` reads."""

MOST_KEPT = 50_000
"""Of so many tensors the headers are kept, some twenty megabytes: those of about twenty models."""

_HEADERS: FileMemory[Header] = FileMemory(MOST_KEPT, lambda header: 1 + len(header.shapes))


def read_shapes(path: Path) -> Shapes:
    """The shape of each tensor in a safetensors file, by name; raises as `read_header` does."""
    return read_header(path).shapes


def read_header(path: Path) -> Header:
    """The header of a safetensors file, or of a GGUF file as one; kept for the next time, until the file is written.

    Raises:
        InputError: for a pickle, for a file that is no safetensors file, and for one that is cut short.
    """
    refuse_pickle(path)
    try:
        with opened_regular(path) as (descriptor, size):
            return _HEADERS.of(os.fstat(descriptor), lambda: _read_open(path, descriptor, size))
    except OSError as fault:
        if fault.errno not in UNFIT:
            raise
        raise InputError(
            f"`{path.name}` cannot be read: {fault.strerror}", "give a safetensors file", "wrong-kind-of-file"
        ) from None


def _read_open(path: Path, descriptor: int, size: int) -> Header:
    if os.pread(descriptor, len(GGUF), 0) == GGUF:
        return read_gguf(path, descriptor, size)
    text = _text(path, descriptor, size)
    header, end = _parsed(path, text)
    _check_size(path, descriptor, size, 8 + len(text), end)
    return header


def header_in(content: bytes, name: str) -> Header:
    """The header of the bytes of a safetensors file.

    Args:
        name: what messages call it.

    Raises:
        InputError: where they are none.
    """
    length = int.from_bytes(content[:8], "little")
    return _parsed(Path(name), content[8 : 8 + length])[0]


def _text(path: Path, descriptor: int, size: int) -> bytes:
    """The JSON text at the beginning of a file."""
    start = os.read(descriptor, 8)
    length = int.from_bytes(start, "little")
    if size < 8 or length > LONGEST_HEADER:
        raise _no_safetensors(path)
    text = os.read(descriptor, length)
    if len(text) < length:
        raise _truncated(path, size, 8 + length)
    return text


def _parsed(path: Path, text: bytes) -> tuple[Header, int]:
    """The header, and where the last tensor ends, counted from the end of the header."""
    try:
        entries = orjson.loads(text)
        metadata = {str(name): str(found) for name, found in dict(entries.pop("__metadata__", None) or {}).items()}
        tensors = (
            {name: _tensor(name, entry) for name, entry in entries.items()} if len(entries) <= MOST_TENSORS else {}
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _no_safetensors(path) from None
    if len(tensors) < len(entries):
        raise _no_safetensors(path)
    shapes = {name: shape for name, (shape, _, _, _) in tensors.items()}
    dtypes = {name: dtype for name, (_, dtype, _, _) in tensors.items()}
    offsets = {name: 8 + len(text) + start for name, (_, _, start, _) in tensors.items()}
    return Header(shapes, dtypes, metadata, offsets), max((end for *_, end in tensors.values()), default=0)


def _tensor(name: str, entry: Any) -> tuple[tuple[int, ...], str, int, int]:
    """Shape, type, start and end of a tensor; a `ValueError` where its entry is none."""
    shape, dtype, (start, end) = entry["shape"], entry["dtype"], entry["data_offsets"]
    sizes = isinstance(shape, list) and len(shape) <= MOST_AXES and all(map(_is_size, shape))
    if not (sizes and _is_size(start) and _is_size(end) and start <= end and isinstance(dtype, str)):
        raise ValueError
    if len(name) > LONGEST_NAME or math.prod(shape) > LARGEST_SIZE:
        raise ValueError
    return tuple(shape), dtype, start, end


def _is_size(found: Any) -> bool:
    return type(found) is int and 0 <= found <= LARGEST_SIZE


def _check_size(path: Path, descriptor: int, size: int, start: int, end: int) -> None:
    """Raise `InputError` where a file has not the size that its header says, or where nothing was ever written to it.

    Args:
        start: where the data begin.
        end: where they end, counted from there.
    """
    if size < start + end:
        raise _truncated(path, size, start + end)
    if size > start + end:
        raise InputError(
            f"`{path.name}` has {size:,} bytes, and its header tells of {start + end:,}",
            "download it again",
            "damaged-file",
        )
    if end > LARGEST_HOLE and _first_data(descriptor, start + BLOCK, size) - start > LARGEST_HOLE:
        raise InputError(
            f"`{path.name}` is empty: its data were never written, as in a download that only reserved its space",
            "download it again",
            "damaged-file",
        )


def _first_data(descriptor: int, start: int, size: int) -> int:
    """Where the first byte that was written lies; `start` where the file system does not tell."""
    if not hasattr(os, "SEEK_DATA"):
        return start
    try:
        return os.lseek(descriptor, start, os.SEEK_DATA)
    except OSError as fault:
        return size if fault.errno == errno.ENXIO else start


def read_numbers(path: Path, header: Header, names: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """The numbers of small tensors, by name; those that are absent, larger or of other types are left out."""
    found: dict[str, tuple[float, ...]] = {}
    wanted = [name for name in names if header.dtypes.get(name) in FORMATS]
    with path.open("rb") if wanted else nullcontext() as file:
        for name in wanted:
            size, letter = FORMATS[header.dtypes[name]]
            count = math.prod(header.shapes[name])
            if file is None or count > MOST_NUMBERS:
                continue
            file.seek(header.offsets[name])
            data = file.read(count * size)
            if len(data) == count * size:
                found[name] = struct.unpack(f"<{count}{letter}", data)
    return found


def refuse_pickle(path: Path) -> None:
    """Raise `InputError` where a file's ending says that it is a pickle."""
    if path.suffix.lower() in PICKLES:
        raise InputError(
            f"`{path.name}` is a pickle ({path.suffix}); loading one can run any code that its author put in it",
            "use the .safetensors file of this model, or convert it where you trust it",
            "pickle-refused",
        )


def _no_safetensors(path: Path) -> InputError:
    return InputError(
        f"`{path.name}` is no safetensors file: its header cannot be read",
        "check that this is the file you meant",
        "wrong-kind-of-file",
    )


def _truncated(path: Path, size: int, expected: int) -> InputError:
    return InputError(
        f"`{path.name}` is truncated: it has {size:,} bytes, its header tells of {expected:,}",
        "download it again",
        "damaged-file",
    )


@dataclass(frozen=True)
class Kind:
    """A kind of file, recognised by its tensors' names.

    Args:
        name: with its article, for messages.
        hint: what to do where something else was wanted.
        part: the component that such a file is or has, as sources of weights call it; empty where it is none.
    """

    name: str
    hint: str
    is_kind: Callable[[Shapes], bool]
    part: str = ""


def _any(*parts: str) -> Callable[[Shapes], bool]:
    """Whether one of `parts` occurs in a tensor's name."""
    return lambda shapes: any(part in name for name in shapes for part in parts)


EMBEDDED = frozenset({"emb_params", "clip_l", "clip_g"})
"""What tensors of textual inversion embeddings are called, where it is not by the word that they stand for."""

_WHOLE = "give a checkpoint: one file with the denoiser, the VAE and the text encoders, or a diffusers folder"

_PART = "load it with LoadDiffusionModel, and what it is without with LoadTextEncoder and LoadVAE"

OTHER_ADAPTERS: Mapping[str, tuple[str, ...]] = {
    "OFT or BOFT": (".oft_blocks", ".oft_diag", ".oft_R", ".boft_"),
    "GLoRA": (".a1.weight", ".a2.weight", ".b1.weight", ".b2.weight", ".glora_"),
    "IA3": (".ia3_l", ".on_input"),
    "VeRA": (".vera_lambda_",),
    "HRA": (".hra_u",),
    "HiRA": (".hira_A", ".hira_B"),
}
"""Ways to change weights that are no LoRA, and parts of names of their tensors in files of LyCORIS, kohya and PEFT."""

KINDS: tuple[Kind, ...] = (
    Kind(
        "a LoRA",
        "load it with LoadLoRA, and add it to a model with ApplyLoRA",
        _any("lora_up.", "lora_down.", "lora_A.", "lora_B.", ".lora.", "_lora.", "hada_w1", "lokr_w1"),
        "LoRA",
    ),
    *(
        Kind(
            f"an adapter that changes weights by {name}",
            "no node reads it: merge it into a checkpoint by the tools of its trainer, or use a LoRA, LoHa or LoKr",
            _any(*parts),
            "adapter",
        )
        for name, parts in OTHER_ADAPTERS.items()
    ),
    Kind(
        "an IP-Adapter",
        "load it with LoadIPAdapter, and apply it to prompts with ApplyIPAdapter",
        _any("image_proj.", "ip_adapter_proj_model.", "ip_adapter_double_stream_"),
        "IP-Adapter",
    ),
    Kind("FLUX.1 Redux", "load it with LoadRedux", lambda shapes: "redux_up.weight" in shapes, "Redux"),
    Kind(
        "a ControlNet",
        "load it with LoadControlNet",
        _any(
            "control_model.",
            "controlnet_cond_embedding.",
            "input_hint_block.",
            "controlnet_blocks.",
            "control_all_x_embedder.",
        ),
        "ControlNet",
    ),
    Kind(
        "a T2I-Adapter",
        "load it with LoadControlNet",
        _any("adapter.body.0.", "body.0.block1.", "body.0.body.0."),
        "ControlNet",
    ),
    Kind(
        "a hypernetwork",
        "add it to a model with ApplyHypernetwork",
        lambda shapes: any(".linear." in name and name.split(".")[0].isdecimal() for name in shapes),
    ),
    Kind(
        "a textual inversion embedding",
        "load it with LoadEmbedding, behind the text encoder of a checkpoint",
        lambda shapes: bool(EMBEDDED & shapes.keys()),
    ),
    Kind("a part of an SDXL checkpoint", _WHOLE, _any("conditioner.embedders.")),
    Kind("a part of an SD 3 checkpoint", _PART, _any("joint_blocks."), "denoiser"),
    Kind("a part of a FLUX checkpoint", _PART, _any("double_blocks."), "denoiser"),
    Kind("a part of an SD 2.x checkpoint", _WHOLE, _any("cond_stage_model.model.")),
    Kind(
        "a checkpoint without its VAE or its text encoder",
        _PART,
        _any("model.diffusion_model."),
        "denoiser",
    ),
    Kind(
        "half of a tiny autoencoder (TAESD) in its authors' layout",
        "load it with LoadVAE, with the other half next to it",
        lambda shapes: any(f"{first}.conv.0.weight" in shapes for first in (1, 3)) and "0.conv.0.weight" not in shapes,
        "half of a VAE",
    ),
    Kind(
        "a UNet alone",
        _PART,
        _any("down_blocks.0.attentions.", "up_blocks.0.attentions.", "input_blocks.0.0.", "time_embedding."),
        "denoiser",
    ),
    Kind("a transformer alone", _PART, _any("transformer_blocks.0."), "denoiser"),
    Kind(
        "a VAE",
        "load it with LoadVAE, behind a model",
        _any("encoder.conv_in.", "decoder.conv_in.", "decoder.middle.0.", "decoder.layers.0."),
        "VAE",
    ),
    Kind(
        "an image encoder",
        "load it with LoadImageEncoder",
        lambda shapes: any(
            name.endswith(("embeddings.patch_embedding.weight", "visual.conv1.weight")) for name in shapes
        ),
        "image encoder",
    ),
    Kind(
        "a text encoder",
        "load it with LoadTextEncoder, behind a model",
        _any("text_model.", "token_embedding.", "encoder.block.0.layer.", "embed_tokens."),
        "text encoder",
    ),
)
"""The kinds that messages name, the first that fits; whole checkpoints are recognised by their families before."""


def kind_of(shapes: Shapes) -> Kind | None:
    """What a file is by its tensors' names, or None where no kind fits."""
    return next((kind for kind in KINDS if kind.is_kind(shapes)), None)
