"""Devices and precisions by name, resolved without importing torch: keys are known before anything heavy loads."""

from __future__ import annotations

import os
import sys

from weft.engine.accelerators import accelerators
from weft.engine.errors import InputError, listed, nearest

PRECISIONS = ("auto", "float32", "float16", "bfloat16")

KINDS = ("cuda", "xpu")
"""Devices that have numbers, as torch calls them."""

UNUSABLE_HINT = "update the driver or install a torch that fits it, or choose --device cpu; `weft devices` says more"

SHORT_PRECISIONS = {"fp32": "float32", "fp16": "float16", "half": "float16", "bf16": "bfloat16"}
"""Names of precisions elsewhere, for hints."""


def resolve_device(name: str) -> str:
    """Resolve `auto` to `cuda:0`, `xpu:0`, `mps` or `cpu`, the first that is here; check a name.

    A GPU that the installed torch cannot use is no reason to compute on the CPU unasked: it is refused.

    Raises:
        InputError: for a device that is not there, or that torch cannot use.
    """
    if name == "auto":
        return _first_accelerator() or ("mps" if _has_mps() else "cpu")
    kind, _, index = name.partition(":")
    if kind in KINDS and (index.isdecimal() or not index):
        return _numbered(kind, int(index or 0), any_of_them=not index)
    if name == "cpu" or (name == "mps" and _has_mps()):
        return name
    options = ("auto", "cpu", "cuda", "cuda:1", "mps", "xpu")
    hint = nearest(name, options) or f"give one of {listed(options)}"
    raise InputError(f"there is no device `{name}` here", hint, "unknown-device")


def _first_accelerator() -> str:
    """The first GPU that torch can use; empty where there is none.

    Raises:
        InputError: where there are GPUs, and torch can use none of them.
    """
    found = [accelerators(kind) for kind in KINDS]
    for one in found:
        if one.usable:
            return one.usable[0].device
    if reasons := "; ".join(one.unusable for one in found if one.unusable):
        raise InputError(f"the GPU here cannot be used: {reasons}", UNUSABLE_HINT, "unusable-device")
    return ""


def _numbered(kind: str, index: int, any_of_them: bool) -> str:
    """The device of a number, or the first that torch can use.

    Raises:
        InputError: where it is not there, or torch cannot use it.
    """
    found = accelerators(kind)
    if found.fault:
        raise InputError(f"device `{kind}`: {found.fault}", UNUSABLE_HINT, "unusable-device")
    if any_of_them and found.usable:
        return found.usable[0].device
    if index >= len(found.devices):
        raise InputError(
            f"device `{kind}:{index}`: {len(found.devices)} {kind.upper()} devices are here",
            "choose --device cpu or auto; `weft devices` lists what is here",
            "unknown-device",
        )
    chosen = found.devices[index]
    if chosen.unusable:
        raise InputError(f"device `{chosen.device}`: {chosen.unusable}", UNUSABLE_HINT, "unusable-device")
    return chosen.device


def dealt_devices(name: str, workers: int, count: int | None = None) -> list[str]:
    """A device for each worker: the CUDA devices of this machine in turn where `auto` or `cuda` means any of them.

    Args:
        count: how many CUDA devices there are; None takes those that torch can use.
    """
    if name not in ("auto", "cuda"):
        return [name] * workers
    numbered = [f"cuda:{index}" for index in range(count or 0)]
    usable = [one.device for one in accelerators("cuda").usable] if count is None else numbered
    return [usable[number % len(usable)] for number in range(workers)] if usable else [name] * workers


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


def cuda_devices() -> int:
    """The number of devices that torch calls CUDA: NVIDIA's, or AMD's where it is built for these."""
    return len(accelerators("cuda").devices)


def _has_mps() -> bool:
    return sys.platform == "darwin" and os.uname().machine == "arm64"
