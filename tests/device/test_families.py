"""Models of every family run on CUDA devices and on MPS in every precision: no tensor meets one of another device.

The whole table, with how far pictures are from those of the host in the same precision:
`pytest -m "slow or not slow" -s tests/device/test_families.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.device.device_pictures import (
    CONTROLS,
    EMBEDDED,
    TEXTS,
    check_everywhere,
    folders_of,
    graph_of,
    painted,
    painted_and_held,
)
from tests.device.pretended import MIB, PretendedDevices
from weft.engine import Engine

FAMILIES = (EMBEDDED, "sd2", "sdxl", "sd3", "sd35", "flux-dev", "flux-schnell", "z-image", "qwen-image")

WAYS = [
    *((model, "text") for model in (*FAMILIES, "sd-turbo", "sdxl-turbo", "sdxl-lcm", "tiny-vae", "sd3-short", *TEXTS)),
    *((model, "image") for model in (*FAMILIES, "sdxl-refiner", "tiny-vae")),
    *((model, "control") for model in CONTROLS),
    *((model, "LoRA") for model in FAMILIES),
    *((model, "tiled") for model in FAMILIES),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "way"), WAYS)
def test_a_family(request: pytest.FixtureRequest, tmp_path: Path, model: str, way: str) -> None:
    folders, lora = folders_of(request.getfixturevalue, model, way)
    check_everywhere(graph_of(model, way, lora), f"{model} {way}", output=tmp_path, **folders)


def test_the_embedded_model_paints_on_a_device_what_it_paints_on_the_host(tmp_path: Path) -> None:
    graph = graph_of(EMBEDDED, "control", side=32)
    got, held = painted_and_held(graph, "mps", "float32", output=tmp_path)
    assert (got - painted(graph, "cpu", "float32", output=tmp_path)).abs().max() <= 1e-6
    assert held == 0


def test_a_failed_run_holds_what_was_held_before(tmp_path: Path) -> None:
    large, small = (graph_of(EMBEDDED, side=side) for side in (256, 32))
    with (
        PretendedDevices("cuda") as devices,
        Engine(store=None, device="cuda:0", precision="float32", output=tmp_path) as engine,
    ):
        engine.run(small)
        held = devices.held
        devices["cuda:0"].capacity = held + MIB // 2
        result = engine.execute(engine.plan(large))
        assert result.failures
        assert devices.held <= held
        assert not engine.execute(engine.plan(small)).failures
        engine.close()
        assert devices.held == 0
