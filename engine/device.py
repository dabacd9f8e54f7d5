"""Devices and precisions by name, resolved without importing torch: keys are known before anything heavy loads."""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from weft.engine.errors import InputError, listed, nearest

PRECISIONS = ("auto", "float32", "float16", "bfloat16")

SHORT_PRECISIONS = {"fp32": "float32", "fp16": "float16", "half": "float16", "bf16": "bfloat16"}
"""Names of precisions elsewhere, for hints."""


def resolve_device(name: str) -> str:
    """Resolve `auto` to `cuda:0`, `mps` or `cpu`, the first that this machine and its torch have; check a name.

    Raises:
        InputError: for a device that is not there.
    """
    if name == "auto":
        return "cuda:0" if cuda_devices() else "mps" if _has_mps() else "cpu"
    kind, _, index = name.partition(":")
    if kind == "cuda" and (index.isdecimal() or not index):
        count = cuda_devices()
        if int(index or 0) < count:
            return f"cuda:{int(index or 0)}"
        raise InputError(
            f"device `{name}`: {count} CUDA devices are usable here", "choose --device cpu or auto", "unknown-device"
        )
    if name == "cpu" or (name == "mps" and _has_mps()):
        return name
    options = ("auto", "cpu", "cuda", "cuda:1", "mps")
    hint = nearest(name, options) or f"give one of {listed(options)}"
    raise InputError(f"there is no device `{name}` here", hint, "unknown-device")


def dealt_devices(name: str, workers: int, count: int | None = None) -> list[str]:
    """A device for each worker: the CUDA devices of this machine in turn where `auto` or `cuda` means any of them.

    Args:
        count: how many CUDA devices there are; None looks.
    """
    if name not in ("auto", "cuda"):
        return [name] * workers
    there = cuda_devices() if count is None else count
    return [f"cuda:{number % there}" for number in range(workers)] if there else [name] * workers


def resolve_precision(name: str, device: str) -> str:
    """Resolve `auto` to float16 on a GPU and float32 on the CPU; check a name.

    Raises:
        InputError: for an unknown precision.
    """
    if name not in PRECISIONS:
        hint = nearest(SHORT_PRECISIONS.get(name, name), PRECISIONS) or f"give one of {listed(PRECISIONS)}"
        raise InputError(f"there is no precision `{name}`", hint, "unknown-choice")
    if name != "auto":
        return name
    return "float32" if device == "cpu" else "float16"


@cache
def cuda_devices() -> int:
    """The number of CUDA devices of the driver, or 0 if the installed torch is not built for CUDA."""
    if not _torch_has("cuda"):
        return 0
    import ctypes

    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        usable = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    except (OSError, AttributeError):
        return 0
    return count.value if usable else 0


def _torch_has(backend: str) -> bool:
    """Whether torch's version file has a version of the backend."""
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return False
    version = Path(spec.submodule_search_locations[0]) / "version.py"
    text = version.read_text() if version.exists() else ""
    return bool(re.search(rf"^{backend}[^=\n]*= *['\"]", text, re.MULTILINE))


def _has_mps() -> bool:
    return sys.platform == "darwin" and os.uname().machine == "arm64"
