"""Models of every family run on CUDA devices and on MPS in every precision: no tensor meets one of another device.

The whole table, with how far pictures are from those of the host in float32:
`pytest -m "slow or not slow" -s tests/device/test_families.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from tests.device.pretended import MIB, PretendedDevices
from tests.nodes.families import lora_files
from tests.nodes.oracle import diffusers
from weft.engine import Engine, Graph
from weft.nodes import (
    ApplyControlNet,
    ApplyLoRA,
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadControlNet,
    LoadImage,
    LoadLoRA,
    ScaleImage,
    TextEncode,
    VAEDecode,
    VAEEncode,
)

EMBEDDED = "builtin:landscapes"

PICTURES = Path(__file__).parents[2] / "graphs" / "pictures"

SIDE = 64

TEXTS = {"dit": "207", "ddpm": "", "consistency": "", "consistency-classes": "7"}

PIXELS = ("ddpm", "consistency", "consistency-classes")

CONTROLS = {
    EMBEDDED: "builtin:landscapes-edges",
    "sdxl": "sdxl-edges",
    "sd3": "sd3-edges",
    "flux-dev": "flux-edges",
    "qwen-image": "qwen-edges",
}

LORAS = ("sd2", "sdxl", "sd3", "flux-dev", "z-image", "qwen-image")

FAMILIES = ("sd2", "sdxl", "sd3", "sd35", "flux-dev", "flux-schnell", "z-image", "qwen-image")

WAYS = [
    *((model, "text") for model in (*FAMILIES, "sdxl-turbo", "sdxl-lcm", *TEXTS)),
    *((model, "image") for model in FAMILIES),
    *((model, "control") for model in CONTROLS),
    *((model, "LoRA") for model in LORAS),
    *((model, "tiled") for model in FAMILIES),
]

PLACES = [("cuda:0", "float32"), ("cuda:1", "float16"), ("cuda:0", "bfloat16"), ("mps", "float32"), ("mps", "bfloat16")]

MOST_APART = {"float32": 1e-6, "float16": 0.01, "bfloat16": 0.05}
"""How far a picture may be from that of the host in float32, on average, in 0..1. The host's own half precision is
equally far; a mistake, such as a step left out, is several times as far."""


def graph_of(model: str, way: str = "text", lora: str = "", side: int = SIDE) -> Graph:
    """A picture by a model, in one of the ways in which people use it."""
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(model)
        network, text_encoder = checkpoint.model, checkpoint.text_encoder
        if way == "LoRA":
            network, text_encoder = ApplyLoRA(LoadLoRA(lora), network, text_encoder, strength=0.7)
        positive: Any = TextEncode(text_encoder, TEXTS.get(model, "a (red:1.3) house"))
        if way == "control":
            net = LoadControlNet(CONTROLS[model])
            positive = ApplyControlNet(positive, None, net, LoadImage("lake.png"), checkpoint.vae).positive
        guide = CFGGuide(network, positive, scale=4.0)
        side = SIDE // 2 if model in PIXELS else side
        latent: Any = EmptyLatent(side, side, 2)
        if way == "image":
            latent = VAEEncode(checkpoint.vae, ScaleImage(LoadImage("lake.png"), SIDE, SIDE))
        sampled = KSampler(guide, latent, sampler="model", steps=2, denoise=0.5 if way == "image" else 1.0)
        graph.output("image", VAEDecode(checkpoint.vae, sampled, tile=SIDE if way == "tiled" else 0))
    return graph


def painted(graph: Graph, device: str, precision: str, **folders: Any) -> Tensor:
    with Engine(store=None, device=device, precision=precision, inputs=[PICTURES], **folders) as engine:
        pixels: Tensor = engine.run(graph).outputs["image"].pixels
    return pixels


def held_after(graph: Graph, device: str, precision: str, **folders: Any) -> tuple[Tensor, int]:
    """A picture by a pretended device, and the bytes that it holds when the engine is closed."""
    with PretendedDevices(device.partition(":")[0]) as devices:
        return painted(graph, device, precision, **folders), devices.held


@pytest.mark.slow
@pytest.mark.parametrize(("model", "way"), WAYS)
def test_a_family(request: pytest.FixtureRequest, tmp_path: Path, model: str, way: str) -> None:
    folders: dict[str, Any] = {"output": tmp_path}
    lora = ""
    if model != EMBEDDED:
        zoo, models = (request.getfixturevalue(name) for name in ("zoo", "models"))
        folders["models"], lora = [models], f"{zoo(model)}-lora.safetensors"
        if way == "control":
            zoo(CONTROLS[model])
        if way == "LoRA":
            write_lora(models, model, models / lora)
    graph = graph_of(model, way, lora)
    want = painted(graph, "cpu", "float32", **folders)
    for device, precision in PLACES:
        got, held = held_after(graph, device, precision, **folders)
        apart = float((got - want).abs().mean())
        print(f"\n{model:20} {way:8} {device:7} {precision:9} {apart * 255:5.2f} levels, {held} bytes held", end="")
        assert apart <= MOST_APART[precision]
        assert held == 0


def write_lora(models: Path, model: str, path: Path) -> None:
    """A random LoRA for the denoiser of a checkpoint, as diffusers writes them."""
    index = diffusers.DiffusionPipeline.load_config(models / model)
    part = "unet" if "unet" in index else "transformer"
    network = getattr(diffusers, index[part][1]).from_pretrained(models / model, subfolder=part)
    lora_files.save(lora_files.peft(lora_files.low_rank(network, 3), f"{part}."), path)


def test_the_embedded_model_paints_on_a_device_what_it_paints_on_the_host(tmp_path: Path) -> None:
    graph = graph_of(EMBEDDED, "control", side=32)
    got, held = held_after(graph, "mps", "float32", output=tmp_path)
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
