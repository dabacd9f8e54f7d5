"""The example graph of each family paints, here on a tiny checkpoint of the family."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.nodes.conftest import read_pixels
from tests.nodes.families import lora_files
from tests.nodes.families.image_adapters import FOLDERS
from tests.nodes.oracle import diffusers
from weft.engine import Engine, Graph

GRAPHS = Path(__file__).parents[3] / "graphs" / "families"

TINY = {
    "sd1": "clip",
    "sd2": "sd2",
    "lotus": "lotus",
    "sd_turbo": "sd-turbo",
    "sdxl": "sdxl",
    "sdxl_refiner": "sdxl",
    "sdxl_turbo": "sdxl-turbo",
    "lcm": "distilled",
    "sd3": "sd3",
    "flux_dev": "flux-dev",
    "flux_schnell": "flux-schnell",
    "flux_parts": "flux-dev",
    "flux_fill": "flux-fill",
    "flux_canny": "flux-canny",
    "flux_kontext": "flux-dev",
    "flux_controlnet": "flux-dev",
    "sd3_controlnet": "sd3",
    "sdxl_union": "sdxl",
    "qwen_image_controlnet": "qwen-image",
    "t2i_adapter": "sdxl",
    "z_image": "z-image",
    "qwen_image": "qwen-image",
    "qwen_image_layered": "qwen-layered",
    "chroma": "chroma",
    "sana": "sana",
    "sana_sprint": "sana-sprint",
    "lumina2": "lumina2",
    "hidream": "hidream-three",
    "hidream_dev": "hidream-three",
    "flux2": "flux2",
    "flux2_klein": "flux2-klein",
    "pixart": "pixart",
    "inpaint": "inpaint",
    "edit": "edit",
    "sdxl_lora": "sdxl",
    "sdxl_lightning": "sdxl",
    "lcm_lora": "clip",
    "flux_lora": "flux-dev",
    "flux_turbo": "flux-dev",
    "qwen_image_lightning": "qwen-image",
    "dit": "dit",
    "ddpm": "ddpm",
    "consistency": "consistency-classes",
    "ip_adapter": "clip",
    "ip_adapter_style": "sdxl",
    "flux_ip_adapter": "flux-dev",
    "flux_redux": "flux-dev",
    "unclip": "unclip",
    "gligen": "gligen",
    "gligen_pictures": "gligen-pictures",
    "merge": "clip",
    "free_u": "clip",
    "animatediff": "clip",
    "wan": "wan",
    "wan_image": "wan-pictures",
    "wan_5b": "wan-5b",
    "wan_experts": "wan-experts",
    "cogvideox": "cogvideox",
    "cogvideox_image": "cogvideox-pictures",
    "hunyuan_video": "hunyuan-video",
    "hunyuan_video_image": "hunyuan-video-pictures",
    "stable_video": "svd",
    "ltx_video": "ltx",
    "ltx_video_image": "ltx",
}
"""A checkpoint for each graph."""

CONTROL_NETS = {
    "flux_controlnet": "flux-union",
    "sd3_controlnet": "sd3-edges",
    "sdxl_union": "sdxl-union",
    "qwen_image_controlnet": "qwen-edges",
    "t2i_adapter": "sdxl-adapter",
}
"""A ControlNet for each graph that has one."""

FRAMES = {
    "wan": 5,
    "wan_image": 5,
    "wan_5b": 5,
    "wan_experts": 5,
    "ltx_video": 9,
    "stable_video": 4,
    "cogvideox": 9,
    "cogvideox_image": 9,
    "hunyuan_video": 5,
    "hunyuan_video_image": 5,
    "ltx_video_image": 9,
}
"""Frames of the clips of families that make some by themselves."""

_HIDREAM = {"model.source": "", "texts.source": "", "texts.source_2": "../hidream/text_encoder_4", "vae.source": ""}

PARTS: Mapping[str, Mapping[str, str]] = {
    "flux_parts": {
        "model.source": "transformer",
        "texts.source": "text_encoder",
        "texts.source_2": "text_encoder_2",
        "vae.source": "vae",
    },
    "hidream": _HIDREAM,
    "hidream_dev": _HIDREAM,
}
"""The folder of each part in that of the checkpoint, of graphs from parts."""


ADAPTERS: Mapping[str, Mapping[str, str]] = {
    "ip_adapter": {"adapter": "sd1-plain.safetensors", "encoder": "vision"},
    "ip_adapter_style": {"adapter": "sdxl-plain.safetensors", "encoder": "vision"},
    "flux_ip_adapter": {"adapter": "xlabs.safetensors", "encoder": "vision"},
    "flux_redux": {"redux": "redux", "encoder": "redux"},
    "unclip": {"checkpoint": "unclip", "encoder": "unclip"},
    "gligen": {"checkpoint": "gligen"},
    "animatediff": {"motion": "motion"},
    "wan_image": {"image_encoder": "wan-pictures"},
    "hunyuan_video_image": {"image_encoder": "hunyuan-video-pictures"},
    "stable_video": {"image_encoder": "svd"},
    "wan_experts": {"low_noise": "wan-experts/transformer_2"},
    "gligen_pictures": dict.fromkeys(("checkpoint", "encoder", "projection"), "gligen-pictures"),
}
"""Tiny sources of what graphs have next to their models."""


def tiny(graph: Graph, zoo: Any, name: str) -> Graph:
    """The graph over tiny checkpoints, for small pictures, in few steps."""
    zoo("motion")
    for place, source in ADAPTERS.get(name, {}).items():
        graph = graph.set(f"{place}.source", source)
    if "checkpoint" in graph.nodes and TINY[name] not in FOLDERS:
        graph = graph.set("checkpoint.source", zoo(TINY[name])).set("checkpoint.variant", "")
    for part, folder in PARTS.get(name, {}).items():
        graph = graph.set(part, (Path(zoo(TINY[name])) / folder).as_posix())
    if name in CONTROL_NETS:
        graph = graph.set("control_net.source", zoo(CONTROL_NETS[name]))
    if "refiner" in graph.nodes:
        graph = graph.set("refiner.source", zoo("sdxl-refiner")).set("refiner.variant", "")
        graph = graph.set("sampler.end_step", 2).set("refine.start_step", 2).set("refine.steps", 4)
    if "picture" not in graph.nodes or name in (*CONTROL_NETS, *ADAPTERS):
        graph = graph.set("latent.width", 64).set("latent.height", 64)
    if name in FRAMES:
        graph = graph.set("latent.frames", FRAMES[name])
    if "scaled" in graph.nodes:
        graph = graph.set("scaled.width", 64).set("scaled.height", 64)
    if TINY[name] == "consistency-classes":
        graph = graph.set("prompt", "7")
    return graph if "levels" in graph.nodes or name == "lotus" else graph.set("sampler.steps", 4)


def tiny_lora(models: Path, model: str) -> str:
    """The name of a LoRA of a tiny denoiser's attention."""
    folder = "unet" if (models / model / "unet").is_dir() else "transformer"
    kind = json.loads((models / model / folder / "config.json").read_text())["_class_name"]
    network = getattr(diffusers, kind).from_pretrained(models / model / folder)
    changes = lora_files.low_rank(network, 0, r"attn\d?\.to_")
    return lora_files.save(lora_files.peft(changes, f"{folder}."), models / f"{model}-lora.safetensors")


def test_every_family_has_its_graph() -> None:
    assert {path.stem for path in GRAPHS.glob("*.json")} == set(TINY)


@pytest.mark.parametrize("name", TINY)
def test_an_example_paints(zoo: Any, adapters: Path, folders: Any, models: Path, tmp_path: Path, name: str) -> None:
    for folder in FOLDERS:
        folders(folder)
    if name.startswith("hidream"):
        zoo("hidream")  # has Llama, which the published folder lacks
    graph = tiny(Graph.load(GRAPHS / f"{name}.json"), zoo, name)
    if "other" in graph.nodes:
        graph = graph.set("other.source", TINY[name])
    if "lora" in graph.nodes:
        graph = graph.set("lora.source", tiny_lora(models, TINY[name]))
    places: dict[str, Any] = {"models": [models], "inputs": [GRAPHS.parent / "pictures"], "output": tmp_path}
    with Engine(store=None, device="cpu", precision="float32", **places) as engine:
        assert read_pixels(engine.run(graph).paths).std() > 5
