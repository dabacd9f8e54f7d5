"""Pictures that are painted on the host and on pretended devices, by models of every family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from tests.device.pretended import PretendedDevices
from tests.nodes.families import lora_files
from tests.nodes.oracle import diffusers
from weft.engine import Engine, Graph
from weft.nodes import (
    ApplyControlNet,
    ApplyLoRA,
    CFGGuide,
    DensePredictionGuide,
    EmptyLatent,
    EncodeEditPrompt,
    KSampler,
    LoadCheckpoint,
    LoadControlNet,
    LoadImage,
    LoadLoRA,
    MakeSigmas,
    ReferenceGuide,
    ScaleImage,
    TextEncode,
    VAEDecode,
    VAEEncode,
)
from weft.nodes.sampling.samplers import SamplerName

EMBEDDED = "builtin:landscapes"

PICTURES = Path(__file__).parents[2] / "graphs" / "pictures"

SIDE = 64

TEXTS = {"dit": "207", "ddpm": "", "consistency": "", "consistency-classes": "7", "lotus": ""}

PIXELS = ("ddpm", "consistency", "consistency-classes")

CONTROLS = {
    EMBEDDED: "builtin:landscapes-edges",
    "sdxl": "sdxl-edges",
    "sd3": "sd3-edges",
    "sd35": "sd35-edges",
    "flux-dev": "flux-edges",
    "z-image": "z-edges",
    "qwen-image": "qwen-edges",
}
"""A ControlNet for a model of each family that has them."""

SEEING = ("qwen-edit",)
"""Models whose prompts are read with pictures."""

MAPPING = ("lotus",)
"""Models that make maps of pictures, by the empty prompt."""

DEVICES = ("cuda:0", "cuda:1", "mps")

MOST_APART = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1e-2}
"""How far a picture may be from that of the host in the same precision, on average, in 0..1. Most are equal bit for
bit; torch's attention sums rows in another order where strides differ."""

ENCODED = 2.0
"""How many times as far in half precision, where a picture is encoded first.

Pixels come with channels last, from diffusers' own processor too, and torch's normalisation of groups keeps that layout
on the CPU alone: elsewhere it sums in another order. SDXL's VAE computes in bfloat16, so the last bits of latents
differ, by 0.8 % on average, which random weights decode to 2 levels, and sampling widens to 3 or 4. diffusers' VAE
alone differs by 2.2 levels between both layouts of a picture
(`test_encoded_pictures_differ_by_the_layout_of_pixels_alone`)."""

Give = Callable[[str], Any]
"""What a fixture of pytest gives, by name."""


def graph_of(
    model: str,
    way: str = "text",
    lora: str = "",
    side: int = SIDE,
    sampler: SamplerName = "model",
    sigmas: bool = False,
) -> Graph:
    """A picture by a model, in one of the ways in which people use it."""
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(model)
        network, text_encoder = checkpoint.model, checkpoint.text_encoder
        if way == "LoRA":
            network, text_encoder = ApplyLoRA(LoadLoRA(lora), network, text_encoder, strength=0.7)
        text, seen = TEXTS.get(model, "a (red:1.3) house"), model in SEEING
        pictured = seen or model in MAPPING or way in ("control", "image", "reference")
        picture: Any = LoadImage("lake.png") if pictured else None
        positive: Any = EncodeEditPrompt(text_encoder, text, [picture]) if seen else TextEncode(text_encoder, text)
        if way == "control":
            net = LoadControlNet(CONTROLS[model])
            positive = ApplyControlNet(positive, None, net, picture, checkpoint.vae).positive
        guide: Any = CFGGuide(network, positive, scale=1.0 if model in MAPPING else 4.0)
        if seen or way == "reference":
            guide = ReferenceGuide(guide, checkpoint.vae, picture)
        side = SIDE // 2 if model in PIXELS else 2 * SIDE if way == "tiled" else side
        if model in MAPPING:
            guide = DensePredictionGuide(guide, VAEEncode(checkpoint.vae, ScaleImage(picture, side, side)))
        latent: Any = EmptyLatent(side, side, 2)
        if way == "image":
            latent = VAEEncode(checkpoint.vae, ScaleImage(picture, side, side))
        levels: Any = (
            {"sigmas": MakeSigmas(network, latent, steps=3)} if sigmas else {"steps": 1 if model in MAPPING else 3}
        )
        sampled = KSampler(guide, latent, sampler=sampler, denoise=0.5 if way == "image" else 1.0, **levels)
        graph.output("image", VAEDecode(checkpoint.vae, sampled, tile=SIDE if way == "tiled" else 0))
    return graph


def painted(graph: Graph, device: str, precision: str, **folders: Any) -> Tensor:
    with Engine(store=None, device=device, precision=precision, inputs=[PICTURES], **folders) as engine:
        pixels: Tensor = engine.run(graph).outputs["image"].pixels
    return pixels


def painted_and_held(graph: Graph, device: str, precision: str, **folders: Any) -> tuple[Tensor, int]:
    """A picture by a pretended device, and the bytes that it holds when the engine is closed."""
    with PretendedDevices(device.partition(":")[0]) as devices:
        return painted(graph, device, precision, **folders), devices.held


def folders_of(give: Give, model: str, way: str = "text") -> tuple[dict[str, Any], str]:
    """The folders of a checkpoint with what a way of using it needs, made where it is not there yet; its LoRA."""
    if model == EMBEDDED:
        return {}, "builtin:landscapes-autumn"
    zoo, models = give("zoo"), give("models")
    lora = f"{zoo(model)}-lora.safetensors"
    if way == "control":
        zoo(CONTROLS[model])
    if way == "LoRA":
        write_lora(models, model, models / lora)
    return {"models": [models]}, lora


def check_everywhere(graph: Graph, shown: str, encoded: bool = False, **folders: Any) -> None:
    """Paint on every pretended device in every precision, and hold that to the host in this precision."""
    for precision, most in MOST_APART.items():
        most *= ENCODED if encoded and precision != "float32" else 1.0
        want = painted(graph, "cpu", precision, **folders)
        for device in DEVICES:
            got, held = painted_and_held(graph, device, precision, **folders)
            apart = float((got - want).abs().mean())
            print(f"\n{shown:36} {precision:9} {device:7} {apart * 255:5.3f} levels, {held} bytes held", end="")
            assert apart <= most
            assert held == 0


def write_lora(models: Path, model: str, path: Path) -> None:
    """A random LoRA for the denoiser of a checkpoint, as diffusers writes them."""
    index = diffusers.DiffusionPipeline.load_config(models / model)
    part = "unet" if "unet" in index else "transformer"
    network = getattr(diffusers, index[part][1]).from_pretrained(models / model, subfolder=part)
    lora_files.save(lora_files.peft(lora_files.low_rank(network, 3), f"{part}."), path)


def thinned(names: Any, quick: tuple[Any, ...] = ()) -> list[Any]:
    """Cases of which the suite runs a few, and `slow` all."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]
