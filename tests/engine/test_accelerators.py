"""GPUs as their drivers describe them: which can be used by torch, and what the others are refused with."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_void_p
from typing import Any

import pytest

from tests.refusals import refused
from weft.engine import device
from weft.engine.accelerators import Accelerators, intel_devices, nvidia_devices, torch_builds
from weft.engine.device import dealt_devices, resolve_device

AMPERE, PASCAL, HOPPER = (8, 6), (6, 1), (9, 0)


class Driver:
    """A CUDA driver that answers as a real one does, through pointers."""

    def __init__(self, version: int, *capabilities: tuple[int, int], starts: int = 0) -> None:
        self.version = version
        self.capabilities = capabilities
        self.starts = starts

    def cuInit(self, flags: int) -> int:
        return self.starts

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = self.version
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(self.capabilities)
        return 0

    def cuDeviceGet(self, handle: Any, index: int) -> int:
        handle._obj.value = index
        return 0

    def cuDeviceGetName(self, name: Any, size: int, handle: Any) -> int:
        name.value = f"card {handle.value}".encode()
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, handle: Any) -> int:
        memory._obj.value = 8 * 10**9
        return 0

    def cuDeviceGetAttribute(self, found: Any, attribute: int, handle: Any) -> int:
        found._obj.value = self.capabilities[handle.value][attribute - 75]
        return 0


class EmptyDriver:
    """A library with the two functions that a stub may have."""

    def cuInit(self, flags: int) -> int:
        return 0


class LevelZero:
    """Intel's loader with two drivers, of one GPU and of two."""

    def zeInit(self, flags: int) -> int:
        return 0

    def zeDriverGet(self, count: Any, drivers: Any) -> int:
        return self._list(count, drivers, (100, 200))

    def zeDeviceGet(self, driver: c_void_p, count: Any, devices: Any) -> int:
        return self._list(count, devices, (1,) if driver.value == 100 else (2, 3))

    def _list(self, count: Any, into: Any, handles: Sequence[int]) -> int:
        count._obj.value = len(handles)
        for place, handle in enumerate(handles if into is not None else ()):
            into[place] = handle
        return 0


def test_cards_of_a_driver_that_fits() -> None:
    found = nvidia_devices(Driver(13000, AMPERE, HOPPER), "13.0")
    assert [(one.device, one.name, one.memory, one.capability) for one in found.usable] == [
        ("cuda:0", "card 0", 8 * 10**9, AMPERE),
        ("cuda:1", "card 1", 8 * 10**9, HOPPER),
    ]
    assert not found.unusable


@pytest.mark.parametrize(
    ("driver", "built"),
    [
        (Driver(12080, AMPERE), "13.0"),  # too old a driver
        (Driver(13000, PASCAL), "13.0"),  # too old a card
        (Driver(13000, AMPERE, starts=999), "13.0"),
        (EmptyDriver(), "13.0"),
    ],
    ids=["driver", "card", "start", "stub"],
)
def test_what_torch_cannot_use_is_refused(driver: Any, built: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = nvidia_devices(driver, built)
    assert found.unusable and not found.usable
    monkeypatch.setattr(device, "accelerators", lambda kind: found if kind == "cuda" else Accelerators())
    for name in ("auto", "cuda:0"):
        with refused("unusable-device", "--device cpu"):
            resolve_device(name)
    assert resolve_device("cpu") == "cpu" and dealt_devices("auto", 2) == ["auto", "auto"]


def test_a_library_without_gpus_is_none() -> None:
    for code in (34, 100):
        assert nvidia_devices(Driver(13000, AMPERE, starts=code), "13.0") == Accelerators()
    assert nvidia_devices(Driver(11000), "13.0") == Accelerators()


def test_any_card_means_one_that_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    found = nvidia_devices(Driver(13000, PASCAL, AMPERE, HOPPER), "13.0")
    monkeypatch.setattr(device, "accelerators", lambda kind: found if kind == "cuda" else Accelerators())
    assert resolve_device("auto") == resolve_device("cuda") == "cuda:1"
    assert dealt_devices("auto", 3) == ["cuda:1", "cuda:2", "cuda:1"]
    with refused("unusable-device", "6.1", "7.5"):
        resolve_device("cuda:0")
    with refused("unknown-device", 3):
        resolve_device("cuda:3")
    # CUDA 12 compiles for Pascal.
    assert len(nvidia_devices(Driver(12080, PASCAL), "12.6").usable) == 1


def test_gpus_of_intel_have_numbers_over_all_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = intel_devices(LevelZero())
    monkeypatch.setattr(device, "accelerators", lambda kind: found if kind == "xpu" else Accelerators())
    assert resolve_device("auto") == "xpu:0" and resolve_device("xpu:2") == "xpu:2"


def test_the_installed_torch_says_what_it_was_built_for() -> None:
    import torch

    assert torch_builds().get("cuda") == torch.version.cuda and torch_builds().get("hip") == torch.version.hip
