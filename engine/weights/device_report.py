"""What devices this machine has, and what the installed torch can do with each: the answer of `weft devices`.

The drivers are asked first, since a driver that torch cannot use is the fault to explain; then torch itself. Imports
torch where it is installed.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from weft.engine.accelerators import Accelerator, accelerators
from weft.engine.device import KINDS
from weft.engine.weights.device_memory import memory_of

ATTENTION_PACKAGES = {"flash_attn": "flash-attn", "sageattention": "sage", "xformers": "xformers"}
"""Packages with attention of their own, by the name under which they are imported."""


@dataclass(frozen=True)
class DeviceReport:
    """One device.

    Args:
        unusable: why nothing can run there; empty where it can.
        memory: its bytes in all; None where they are not known.
        free: bytes that are free now.
        weights: bytes of weights that it may hold where no setting says it; None is all.
        precisions: that it computes in.
        attention: the implementations of attention that can run there.
    """

    device: str
    name: str
    unusable: str = ""
    memory: int | None = None
    free: int | None = None
    weights: int | None = None
    precisions: tuple[str, ...] = ()
    attention: tuple[str, ...] = ()


def device_reports() -> Iterator[DeviceReport]:
    """Every device that is here, the GPUs first, and the CPU last."""
    for kind in KINDS:
        found = accelerators(kind)
        if found.fault:
            yield DeviceReport(kind, "", found.fault)
        for one in found.devices:
            yield _accelerator(one)
    torch = _torch()
    if torch is not None and torch.backends.mps.is_available():
        yield _usable(torch, "mps", platform.processor() or "Apple GPU")
    yield _cpu(torch)


def _accelerator(found: Accelerator) -> DeviceReport:
    torch = _torch()
    fault = found.unusable or _refusal(torch, found.device)
    if fault:
        return DeviceReport(found.device, found.name, fault, found.memory or None)
    return _usable(torch, found.device, found.name)


def _refusal(torch: Any, device: str) -> str:
    """Why torch itself cannot use a device that its driver describes; empty where it can."""
    kind, _, index = device.partition(":")
    module = getattr(torch, kind, None)
    if module is None or not module.is_available() or int(index) >= module.device_count():
        return "the installed torch does not find it"
    try:
        torch.zeros(1, device=device).add_(1).cpu()
    except (RuntimeError, AssertionError) as fault:
        return str(fault).splitlines()[0]
    return ""


def _usable(torch: Any, device: str, name: str) -> DeviceReport:
    memory = memory_of(device)
    return DeviceReport(
        device,
        name or _torch_name(torch, device),
        memory=memory.total if memory else None,
        free=memory.free if memory else None,
        weights=max(memory.free - memory.reserve, 0) if memory else None,
        precisions=_precisions(torch, device),
        attention=_attention(torch, device),
    )


def _torch_name(torch: Any, device: str) -> str:
    module = getattr(torch, device.partition(":")[0])
    return str(module.get_device_name(device)) if hasattr(module, "get_device_name") else ""


def _precisions(torch: Any, device: str) -> tuple[str, ...]:
    kind = device.partition(":")[0]
    check = getattr(getattr(torch, kind), "is_bf16_supported", None)
    native = check(including_emulation=False) if kind == "cuda" and check else True
    return ("float32", "float16", *(("bfloat16",) if native else ()))


def _attention(torch: Any, device: str) -> tuple[str, ...]:
    """The back ends of torch's own attention that are switched on, and packages with others."""
    if not device.startswith("cuda"):
        return ("sdpa",)
    cuda = torch.backends.cuda
    switches = {
        "sdpa flash": cuda.flash_sdp_enabled() and cuda.is_flash_attention_available(),
        "sdpa efficient": cuda.mem_efficient_sdp_enabled(),
        "sdpa cudnn": cuda.cudnn_sdp_enabled() and torch.backends.cudnn.is_available(),
        "sdpa math": cuda.math_sdp_enabled(),
    }
    installed = (name for module, name in ATTENTION_PACKAGES.items() if find_spec(module))
    return (*(name for name, on in switches.items() if on), *installed)


def _cpu(torch: Any) -> DeviceReport:
    name = f"{platform.machine()}, {os.cpu_count()} cores"
    if torch is None:
        return DeviceReport("cpu", name, "torch is not installed")
    memory = _machine_memory()
    return DeviceReport("cpu", name, "", *memory, precisions=("float32", "bfloat16", "float16"), attention=("sdpa",))


def _machine_memory() -> tuple[int | None, int | None]:
    """All memory of the machine, and what is free of it, where the system says it."""
    names = getattr(os, "sysconf_names", {})
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES", "SC_AVPHYS_PAGES"} <= names.keys():
        return None, None
    page = os.sysconf("SC_PAGE_SIZE")
    return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")


def _torch() -> Any:
    if find_spec("torch") is None:
        return None
    import torch

    return torch
