"""The header of a safetensors file, read without torch, and what its tensor names say about the file.

The format: eight bytes with the header's length (little endian), a JSON object (name -> dtype, shape, offsets into the
data), then the data (https://github.com/huggingface/safetensors).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from weft.engine import InputError

Shapes = Mapping[str, tuple[int, ...]]

LONGEST_HEADER = 100_000_000
"""Bytes; the limit that the safetensors library itself sets."""

PICKLES = frozenset({".ckpt", ".pt", ".pth", ".bin", ".pkl"})


GGUF = b"GGUF"
"""What a file in llama.cpp's format begins with, whatever it is called."""


@dataclass(frozen=True)
class Header:
    """What the header of a safetensors file says.

    Args:
        shapes: of each tensor, by name.
        dtypes: the type of each tensor's numbers as the format spells it (`BF16`, `F8_E4M3`), by name.
        metadata: texts that whoever wrote the file put into it, by name.
        offsets: where each tensor begins in the file, by name.
    """

    shapes: Shapes
    dtypes: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    offsets: Mapping[str, int] = field(default_factory=dict)


FORMATS: Mapping[str, tuple[int, str]] = {"F64": (8, "d"), "F32": (4, "f"), "F16": (2, "e")}
"""The bytes and the letter in `struct` of a type of numbers."""

MOST_NUMBERS = 64
"""The most elements of a tensor that `read_numbers` reads."""


def read_shapes(path: Path) -> Shapes:
    """The shape of each tensor in a safetensors file, by name; raises as `read_header` does."""
    return read_header(path).shapes


def read_header(path: Path) -> Header:
    """The header of a safetensors file.

    Raises:
        InputError: for a pickle, for a file that is no safetensors file, and for one that is cut short.
    """
    refuse_pickle(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith(GGUF):
            raise InputError(
                f"`{path.name}` has weights in GGUF, which are not read",
                "get the model as .safetensors in bfloat16, float16 or fp8",
                "unsupported-weights",
            )
        length = int.from_bytes(start, "little")
        if size < 8 or length > LONGEST_HEADER:
            raise _no_safetensors(path)
        text = file.read(length)
    if len(text) < length:
        raise _truncated(path, size, 8 + length)
    try:
        entries = json.loads(text)
        tensors = {name: entry for name, entry in entries.items() if name != "__metadata__"}
        expected = 8 + length + max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
        shapes = {name: tuple(entry["shape"]) for name, entry in tensors.items()}
        dtypes = {name: str(entry["dtype"]) for name, entry in tensors.items()}
        offsets = {name: 8 + length + int(entry["data_offsets"][0]) for name, entry in tensors.items()}
        metadata = {str(name): str(text) for name, text in dict(entries.get("__metadata__") or {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise _no_safetensors(path) from None
    if size < expected:
        raise _truncated(path, size, expected)
    return Header(shapes, dtypes, metadata, offsets)


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
    """

    name: str
    hint: str
    is_kind: Callable[[Shapes], bool]


def _any(*parts: str) -> Callable[[Shapes], bool]:
    """Whether one of `parts` occurs in a tensor's name."""
    return lambda shapes: any(part in name for name in shapes for part in parts)


EMBEDDED = frozenset({"emb_params", "clip_l", "clip_g"})
"""What tensors of textual inversion embeddings are called, where it is not by the word that they stand for."""

_WHOLE = "give a checkpoint: one file with the denoiser, the VAE and the text encoders, or a diffusers folder"

_PART = "load it with LoadDiffusionModel, and what it is without with LoadTextEncoder and LoadVAE"

KINDS: tuple[Kind, ...] = (
    Kind("a LoRA", _WHOLE, _any("lora_up.", "lora_down.", "lora_A.", "lora_B.", ".lora.", "hada_w1", "lokr_w1")),
    Kind(
        "a ControlNet",
        "load it with LoadControlNet",
        _any("control_model.", "controlnet_cond_embedding.", "input_hint_block."),
    ),
    Kind(
        "a textual inversion embedding",
        "load it with LoadEmbedding, behind the text encoder of a checkpoint",
        lambda shapes: bool(EMBEDDED & shapes.keys()),
    ),
    Kind("a part of an SDXL checkpoint", _WHOLE, _any("conditioner.embedders.")),
    Kind("a part of an SD 3 checkpoint", _PART, _any("joint_blocks.")),
    Kind("a part of a FLUX checkpoint", _PART, _any("double_blocks.")),
    Kind("a part of an SD 2.x checkpoint", _WHOLE, _any("cond_stage_model.model.")),
    Kind(
        "a checkpoint without its VAE or its text encoder",
        _PART,
        _any("model.diffusion_model."),
    ),
    Kind("a UNet alone", _PART, _any("down_blocks.0.attentions.", "input_blocks.0.0.", "time_embedding.")),
    Kind(
        "a VAE",
        "load it with LoadVAE, behind a model",
        _any("encoder.conv_in.", "decoder.conv_in.", "decoder.middle.0."),
    ),
    Kind(
        "a text encoder",
        "load it with LoadTextEncoder, behind a model",
        _any("text_model.", "token_embedding.", "encoder.block.0.layer.", "embed_tokens."),
    ),
)
"""The kinds that messages name, the first that fits; whole checkpoints are recognised by their families before."""


def kind_of(shapes: Shapes) -> Kind | None:
    """What a file is by its tensors' names, or None where no kind fits."""
    return next((kind for kind in KINDS if kind.is_kind(shapes)), None)
