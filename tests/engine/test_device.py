"""Devices, precisions and limits by name: what is not there is refused with what is."""

from __future__ import annotations

import pytest

from tests.refusals import refused
from weft.engine.device import (
    AUTO_PRECISIONS,
    common_precision,
    cuda_devices,
    dealt_devices,
    part_precision,
    resolve_device,
    resolve_devices,
    resolve_offload,
    resolve_precision,
)


def test_a_device_that_is_there() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "cuda:0", "mps")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (f"cuda:{cuda_devices()}", [cuda_devices(), "cpu"]),
        ("cdua", ["cdua", "cuda"]),
        ("", ["cpu"]),
        ("cuda:x", ["cuda:x", "cuda:1"]),
    ],
)
def test_a_device_that_is_not(name: str, values: list[str | float]) -> None:
    with refused("unknown-device", *values):
        resolve_device(name)


@pytest.mark.parametrize(
    ("name", "device", "precision"),
    [
        ("auto", "cpu", "float32"),
        ("bfloat16", "cpu", "bfloat16"),
        ("auto-bfloat16", "cpu", "auto-bfloat16"),
    ],
)
def test_a_precision_is_resolved(name: str, device: str, precision: str) -> None:
    assert resolve_precision(name, device) == precision


def test_a_gpu_has_a_precision_for_each_part() -> None:
    assert resolve_precision("auto", "cuda:0") in AUTO_PRECISIONS


@pytest.mark.parametrize(
    ("setting", "published", "precision"),
    [
        ("auto-bfloat16", ("bfloat16", "float32"), "bfloat16"),
        ("auto-bfloat16", ("float16",), "float16"),
        ("auto-float16", ("bfloat16", "float16"), "float16"),
        ("auto-float16", ("bfloat16", "float32"), "float32"),
        ("float16", ("bfloat16", "float32"), "float16"),
        ("float32", ("float16",), "float32"),
    ],
)
def test_a_part_has_the_best_format_of_the_device(setting: str, published: tuple[str, ...], precision: str) -> None:
    assert part_precision(setting, published) == precision


def test_an_unknown_precision() -> None:
    with refused("unknown-choice", "flaot16", "float16"):
        resolve_precision("flaot16", "cpu")


@pytest.mark.parametrize(
    ("name", "count", "places"),
    [
        ("auto", 2, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda", 8, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda:1", 8, ["cuda:1"] * 3),
        ("auto", 0, ["auto"] * 3),
        ("cpu", 8, ["cpu"] * 3),
    ],
)
def test_workers_share_the_devices_of_a_machine(name: str, count: int, places: list[str]) -> None:
    assert dealt_devices(name, 3, count) == places


def test_what_other_programs_call_offloading_is_understood() -> None:
    words = ("auto", "none", "highvram", "medvram", "lowvram", "novram")
    assert [*map(resolve_offload, words)] == ["auto", "none", "none", "model", "group", "sequential"]
    with refused("unknown-choice"):
        resolve_offload("lowram")


def test_a_device_is_named_once() -> None:
    assert resolve_devices("cpu") == ("cpu",)
    with refused("conflicting-inputs", "cpu"):
        resolve_devices("cpu, cpu")


def test_a_list_of_devices_is_dealt_out_and_has_one_precision() -> None:
    assert dealt_devices("cuda:0,cuda:1", 3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert common_precision("auto", ("mps", "cpu")) == "float32"
    assert common_precision("bfloat16", ("cpu",)) == "bfloat16"
