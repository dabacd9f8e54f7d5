"""Models of every family run on CUDA devices and on MPS in every precision: no tensor meets one of another device.

The whole table, with how far pictures are from those of the host in the same precision:
`pytest -m "slow or not slow" -s tests/device/test_families.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.device.device_pictures import (
    CONTROLS,
    EMBEDDED,
    MAPPING,
    PICTURES,
    PIXELS,
    TEXTS,
    check_everywhere,
    folders_of,
    graph_of,
    painted,
    painted_and_held,
)
from tests.device.pretended import MIB, PretendedDevices
from weft.engine import Engine, Graph
from weft.nodes import LoadCheckpoint, LoadImage, ScaleImage, VAEDecode, VAEEncode
from weft.nodes.models import autoencoder
from weft.nodes.models.autoencoder import signed

FAMILIES = (
    *(EMBEDDED, "sd2", "sdxl", "sd3", "sd35", "flux-dev", "flux-schnell", "z-image", "qwen-image", "qwen-edit"),
    *("chroma", "flux2", "flux2-klein", "hidream", "lumina2", "pixart", "sana"),
)

VARIANTS = ("sd-turbo", "sdxl-turbo", "sdxl-lcm", "tiny-vae", "sd3-short", "pixart-alpha", "sana-sprint")
"""What a family reads otherwise."""

WAYS = [
    *((model, "text") for model in (*FAMILIES, *VARIANTS, *TEXTS)),
    *((model, "image") for model in (*FAMILIES, "sdxl-refiner", "tiny-vae")),
    *((model, "control") for model in CONTROLS),
    *((model, "LoRA") for model in FAMILIES),
    *((model, "tiled") for model in FAMILIES),
    ("flux2", "reference"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "way"), WAYS)
def test_a_family(request: pytest.FixtureRequest, tmp_path: Path, model: str, way: str) -> None:
    folders, lora = folders_of(request.getfixturevalue, model, way)
    encoded = way == "image" or model in MAPPING
    check_everywhere(graph_of(model, way, lora), f"{model} {way}", encoded, output=tmp_path, **folders)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["sdxl", "sdxl-refiner", "lotus"])
def test_encoded_pictures_differ_by_the_layout_of_pixels_alone(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """Where channels do not come last, a device paints in bfloat16 bit for bit what the host paints."""
    monkeypatch.setattr(autoencoder, "signed", lambda pictures: signed(pictures).contiguous())
    folders, _ = folders_of(request.getfixturevalue, model, "image")
    graph = graph_of(model, "image")
    want = painted(graph, "cpu", "bfloat16", output=tmp_path, **folders)
    got, _ = painted_and_held(graph, "cuda:0", "bfloat16", output=tmp_path, **folders)
    assert torch.equal(got, want)


def test_a_picture_is_decoded_in_tiles_on_mps(tmp_path: Path) -> None:
    """MPS has no numbers of 64 bits, in which the tiles of a picture are put together elsewhere."""
    with Graph() as graph:
        vae = LoadCheckpoint(EMBEDDED).vae
        picture = ScaleImage(LoadImage("lake.png"), 128, 64)
        for tile in (0, 64):
            graph.output(f"by_{tile}", VAEDecode(vae, VAEEncode(vae, picture, tile=tile), tile=tile))
    settings: Any = {"precision": "float32", "inputs": [PICTURES], "output": tmp_path}
    with PretendedDevices("mps"), Engine(store=None, device="mps", **settings) as engine:
        found = engine.run(graph).outputs
    assert (found["by_0"].pixels - found["by_64"].pixels).abs().max() <= 1 / 255


def test_the_embedded_model_paints_on_a_device_what_it_paints_on_the_host(tmp_path: Path) -> None:
    graph = graph_of(EMBEDDED, "control", side=32)
    got, held = painted_and_held(graph, "mps", "float32", output=tmp_path)
    assert (got - painted(graph, "cpu", "float32", output=tmp_path)).abs().max() <= 1e-6
    assert held == 0


def test_a_failed_run_holds_what_was_held_before(tmp_path: Path) -> None:
    large, small = (graph_of(EMBEDDED, side=side) for side in (320, 32))
    with (
        PretendedDevices("cuda") as devices,
        Engine(store=None, device="cuda:0", precision="float32", output=tmp_path, offload="none") as engine,
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


OFFLOADED = [(model, way) for model, way in WAYS if way in ("text", "control", "LoRA") and model not in PIXELS]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "way"), OFFLOADED)
@pytest.mark.parametrize("offload", ["model", "group", "sequential"])
def test_what_waits_on_the_host_changes_no_picture(
    request: pytest.FixtureRequest, tmp_path: Path, model: str, way: str, offload: str
) -> None:
    """`pytest -m slow -s tests/device/test_families.py -k host`."""
    folders, lora = folders_of(request.getfixturevalue, model, way)
    graph = graph_of(model, way, lora)
    want, peak = painted_with_peak(graph, output=tmp_path, offload="none", **folders)
    got, least = painted_with_peak(graph, output=tmp_path, offload=offload, **folders)
    print(f"\n{model:20} {way:8} {offload:10} {least / peak:.2f} of the memory", end="")
    assert torch.equal(got, want)
    assert least <= peak


def painted_with_peak(graph: Graph, **options: Any) -> tuple[Tensor, int]:
    """A picture by a pretended device, and the most bytes that it held; at the end it holds none."""
    with PretendedDevices("cuda") as devices:
        with Engine(store=None, device="cuda:0", precision="float32", inputs=[PICTURES], **options) as engine:
            result = engine.run(graph)
        assert devices.held == 0
        picture: Tensor = result.outputs["image"].pixels
        return picture, result.peak
