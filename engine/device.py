"""Devices and precisions by name, resolved without importing torch: keys are known before anything heavy loads."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import Literal

from weft.engine.accelerators import accelerators
from weft.engine.errors import InputError, listed, nearest

AUTO_PRECISIONS = {
    "auto-bfloat16": ("float16", "bfloat16", "float32"),
    "auto-float16": ("float16", "float32"),
}
"""What `auto` is on a GPU, with the formats that parts may run in there: with bfloat16, or without."""

PRECISIONS = ("auto", "float32", "float16", "bfloat16", *AUTO_PRECISIONS)

Offload = Literal["auto", "none", "model", "group", "sequential"]

OFFLOADS: tuple[Offload, ...] = ("auto", "none", "model", "group", "sequential")
"""What waits in the host's memory until it runs. `auto`: what the device has no room for, blocks of networks first,
then layers. `none`: nothing; what does not fit is an error. `model`: all models but the one that runs. `group`: also
the blocks of networks but the one that runs. `sequential`: also their layers."""

OFFLOAD_WORDS: Mapping[str, Offload] = {
    "highvram": "none",
    "normalvram": "auto",
    "medvram": "model",
    "lowvram": "group",
    "novram": "sequential",
}
"""What other programs call the like of each."""

KINDS = ("cuda", "xpu")
"""Devices that have numbers, as torch calls them."""

UNUSABLE_HINT = "update the driver or install a torch that fits it, or choose --device cpu; `weft devices` says more"

DRY_DEVICE = "meta:0"
"""Where nodes run without computing anything, so that the memory that they will need is counted before they run."""

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


def resolve_devices(names: str) -> tuple[str, ...]:
    """Resolve names of devices with commas between them, each as `resolve_device` does.

    Raises:
        InputError: for a device that is not there, that torch cannot use, or that is named twice.
    """
    found = tuple(resolve_device(one.strip()) for one in names.split(","))
    if twice := next((one for place, one in enumerate(found) if one in found[:place]), None):
        raise InputError(f"the device `{twice}` is named twice", "name each device once", "conflicting-inputs")
    return found


def dealt_devices(name: str, workers: int, count: int | None = None) -> list[str]:
    """A device for each worker, in turn: those that are named, or where `auto` or `cuda` means any, the CUDA devices.

    Args:
        count: how many CUDA devices there are; None takes those that torch can use.
    """
    if name not in ("auto", "cuda"):
        names = name.split(",")
        return [names[number % len(names)] for number in range(workers)]
    numbered = [f"cuda:{index}" for index in range(count or 0)]
    usable = [one.device for one in accelerators("cuda").usable] if count is None else numbered
    return [usable[number % len(usable)] for number in range(workers)] if usable else [name] * workers


def resolve_offload(name: str) -> Offload:
    """What leaves a device for the host, by its own name or by that which other programs have for it.

    Raises:
        InputError: for an unknown name.
    """
    word = OFFLOAD_WORDS.get(name, name)
    for one in OFFLOADS:
        if one == word:
            return one
    hint = nearest(name, (*OFFLOADS, *OFFLOAD_WORDS)) or f"give one of {listed(OFFLOADS)}"
    raise InputError(f"there is no offload `{name}`", hint, "unknown-choice")


def common_precision(name: str, devices: Sequence[str]) -> str:
    """Resolve `auto` for devices of one engine: with bfloat16 where all of them have it.

    Raises:
        InputError: for an unknown precision.
    """
    found = [resolve_precision(name, one) for one in devices]
    return next((one for one in ("float32", "auto-float16") if one in found), found[0])


def resolve_precision(name: str, device: str) -> str:
    """Resolve `auto`: float32 on the CPU, and on a GPU what each part was published in, as far as it has that format.

    What it gives is a name of a precision too, so that a job has everywhere what was settled where it was submitted.

    Raises:
        InputError: for an unknown precision.
    """
    if name not in PRECISIONS:
        hint = nearest(SHORT_PRECISIONS.get(name, name), PRECISIONS) or f"give one of {listed(PRECISIONS)}"
        raise InputError(f"there is no precision `{name}`", hint, "unknown-choice")
    if name != "auto":
        return name
    if device == "cpu":
        return "float32"
    return "auto-bfloat16" if _has_bfloat16(device) else "auto-float16"


def part_precision(setting: str, published: Sequence[str]) -> str:
    """The precision of weights under a resolved setting: the one that was asked for, or that which suits them.

    Args:
        published: the formats that the weights may run in where none was asked for, the best first; float32 is the last
            resort of all.
    """
    formats = AUTO_PRECISIONS.get(setting)
    return setting if formats is None else next((one for one in published if one in formats), "float32")


def cuda_devices() -> int:
    """The number of devices that torch calls CUDA: NVIDIA's, or AMD's where it is built for these."""
    return len(accelerators("cuda").devices)


BFLOAT16_FROM = (8, 0)
"""The compute capability of the first GPUs of NVIDIA's that compute in bfloat16 (Ampere); those of others do."""


def _has_bfloat16(device: str) -> bool:
    """Whether a GPU computes in bfloat16; MPS does from macOS 14 on."""
    if device == "mps":
        release = platform.mac_ver()[0].partition(".")[0]
        return release.isdecimal() and int(release) >= 14
    known = accelerators(device.partition(":")[0]).devices
    return all(one.capability is None or one.capability >= BFLOAT16_FROM for one in known if one.device == device)


def _has_mps() -> bool:
    return sys.platform == "darwin" and os.uname().machine == "arm64"
