"""The GPUs of this machine as their drivers describe them, without torch: which of them torch can use, or why not.

NVIDIA's and AMD's GPUs are `cuda` to torch, Intel's are `xpu`. Asking a driver takes a fraction of a second and makes
no context on a GPU, so it is done before anything is planned.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NO_DEVICE = frozenset({34, 100, 101})
"""What cuInit and hipInit return where there is a library and no GPU: a stub library, no device, an invalid device."""

LEAST_CAPABILITY: Mapping[int, tuple[int, int]] = {11: (3, 5), 12: (5, 0), 13: (7, 5)}
"""The least compute capability that a version of CUDA compiles for (release notes of CUDA 11.0, 12.0 and 13.0)."""

_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR."""


@dataclass(frozen=True)
class Accelerator:
    """One GPU.

    Args:
        device: as torch calls it: `cuda:0`, `xpu:0`.
        memory: its bytes in all; 0 where the driver does not say.
        capability: the compute capability of NVIDIA's.
        unusable: why the installed torch cannot use it; empty where it can.
    """

    device: str
    name: str = ""
    memory: int = 0
    capability: tuple[int, int] | None = None
    unusable: str = ""


@dataclass(frozen=True)
class Accelerators:
    """The GPUs that torch was built for.

    Args:
        fault: why none of them can be used, although a driver is installed; empty where they can.
    """

    devices: tuple[Accelerator, ...] = ()
    fault: str = ""

    @property
    def usable(self) -> tuple[Accelerator, ...]:
        """Those that torch can use."""
        return tuple(one for one in self.devices if not one.unusable)

    @property
    def unusable(self) -> str:
        """Why there is no usable one, although there is a driver or a GPU."""
        each = (f"{one.device} ({one.name}): {one.unusable}" for one in self.devices)
        return self.fault or ("" if self.usable else "; ".join(each))


@cache
def accelerators(kind: str) -> Accelerators:
    """The GPUs that are `cuda` or `xpu` to the installed torch; none where torch was not built for them."""
    built = torch_builds()
    if kind == "cuda" and "cuda" in built:
        library = _library("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        return nvidia_devices(library, built["cuda"]) if library else Accelerators()
    if kind == "cuda" and "hip" in built:
        library = _library("amdhip64.dll" if sys.platform == "win32" else "libamdhip64.so", in_torch=True)
        return amd_devices(library) if library else Accelerators()
    if kind == "xpu" and "xpu" in built:
        library = _library("ze_loader.dll" if sys.platform == "win32" else "libze_loader.so.1")
        return intel_devices(library) if library else Accelerators()
    return Accelerators()


@cache
def torch_builds() -> Mapping[str, str]:
    """The back ends that the installed torch was built for, with their versions, from its version file."""
    root = _torch_folder()
    version = root / "version.py" if root else None
    text = version.read_text() if version and version.exists() else ""
    return dict(re.findall(r"^(cuda|hip|xpu)\b[^=\n]*= *['\"]([^'\"]+)", text, re.MULTILINE))


def nvidia_devices(driver: Any, built_for: str) -> Accelerators:
    """The GPUs of NVIDIA's driver.

    Args:
        driver: its library.
        built_for: the version of CUDA that torch was built for: `13.0`.
    """
    version, count = ctypes.c_int(0), ctypes.c_int(0)
    needed = int(built_for.partition(".")[0])
    try:
        code = driver.cuInit(0)
        if code in NO_DEVICE:
            return Accelerators()
        if code:
            return Accelerators(fault=f"the NVIDIA driver does not start (cuInit gives {code})")
        if driver.cuDriverGetVersion(ctypes.byref(version)) or driver.cuDeviceGetCount(ctypes.byref(count)):
            return Accelerators(fault="the NVIDIA driver does not answer")
        if version.value // 1000 < needed:
            had = f"{version.value // 1000}.{version.value % 1000 // 10}"
            fault = f"the NVIDIA driver is for CUDA up to {had}, and the installed torch needs {needed}.0"
            return Accelerators(fault=fault if count.value else "")
        return Accelerators(tuple(_nvidia_device(driver, index, needed) for index in range(count.value)))
    except AttributeError as fault:
        return Accelerators(fault=f"the NVIDIA driver is not complete ({fault})")


def _nvidia_device(driver: Any, index: int, needed: int) -> Accelerator:
    handle, name = ctypes.c_int(0), ctypes.create_string_buffer(256)
    memory, major, minor = ctypes.c_size_t(0), ctypes.c_int(0), ctypes.c_int(0)
    codes = (
        driver.cuDeviceGet(ctypes.byref(handle), index),
        driver.cuDeviceGetName(name, 256, handle),
        driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle),
        driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, handle),
        driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, handle),
    )
    found = Accelerator(f"cuda:{index}", name.value.decode(errors="replace"), memory.value)
    if any(codes):
        return replace(found, unusable="the driver does not describe it")
    found = replace(found, capability=(major.value, minor.value))
    least = LEAST_CAPABILITY.get(needed, (0, 0))
    if (major.value, minor.value) < least:
        has, wants = f"{major.value}.{minor.value}", f"{least[0]}.{least[1]}"
        return replace(found, unusable=f"compute capability {has}, and torch for CUDA {needed} needs {wants}")
    return found


def amd_devices(runtime: Any) -> Accelerators:
    """The GPUs of AMD's runtime.

    Args:
        runtime: the library of HIP.
    """
    count = ctypes.c_int(0)
    try:
        code = runtime.hipInit(0)
        if code in NO_DEVICE or runtime.hipGetDeviceCount(ctypes.byref(count)):
            return Accelerators()
        return Accelerators(tuple(_amd_device(runtime, index) for index in range(count.value)))
    except AttributeError as fault:
        return Accelerators(fault=f"AMD's runtime is not complete ({fault})")


def _amd_device(runtime: Any, index: int) -> Accelerator:
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t(0)
    runtime.hipDeviceGetName(name, 256, index)
    runtime.hipDeviceTotalMem(ctypes.byref(memory), index)
    return Accelerator(f"cuda:{index}", name.value.decode(errors="replace"), memory.value)


def intel_devices(loader: Any) -> Accelerators:
    """The GPUs of Intel's drivers, by number alone.

    Args:
        loader: the library of Level Zero.
    """
    gpus_alone = 1
    try:
        if loader.zeInit(gpus_alone):
            return Accelerators()
        drivers = _handles(loader.zeDriverGet)
        found = sum(len(_handles(lambda *rest, one=one: loader.zeDeviceGet(one, *rest))) for one in drivers)
        return Accelerators(tuple(Accelerator(f"xpu:{index}") for index in range(found)))
    except AttributeError as fault:
        return Accelerators(fault=f"Intel's driver is not complete ({fault})")


def _handles(list_them: Callable[..., int]) -> list[ctypes.c_void_p]:
    """What a function of Level Zero lists: asked for their number first, then for them."""
    count = ctypes.c_uint32(0)
    if list_them(ctypes.byref(count), None) or not count.value:
        return []
    handles = (ctypes.c_void_p * count.value)()
    list_them(ctypes.byref(count), handles)
    return [ctypes.c_void_p(one) for one in handles]


def _torch_folder() -> Path | None:
    spec = find_spec("torch")
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None


def _library(name: str, in_torch: bool = False) -> ctypes.CDLL | None:
    """A library by name; None where it is not installed.

    Args:
        in_torch: whether torch brings one of its own.
    """
    root = _torch_folder()
    for one in (str(root / "lib" / name), name) if in_torch and root else (name,):
        try:
            return ctypes.CDLL(one)
        except OSError:
            continue
    return None
