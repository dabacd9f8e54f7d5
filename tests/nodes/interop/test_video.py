"""ComfyUI's graphs of clips become graphs that pass the checks but for their files, and are exported again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image as Pictures

from weft.engine import Engine, Graph
from weft.engine.graph import document
from weft.nodes.interop.comfy_export import export_comfyui

Tree = dict[str, Any]


def clip(**changes: tuple[str, Tree]) -> Tree:
    """A graph of Wan 2.1 that begins with a picture."""
    made = {"width": 64, "height": 64, "length": 5, "batch_size": 1, "vae": ["vae", 0]}
    prompts = {"positive": ["words", 0], "negative": ["against", 0]}
    run = {"seed": 1, "steps": 4, "cfg": 6.0, "sampler_name": "uni_pc", "scheduler": "simple", "denoise": 1.0}
    links = {"model": ["unet", 0], "positive": ["wan", 0], "negative": ["wan", 1], "latent_image": ["wan", 2]}
    given: dict[str, tuple[str, Tree]] = {
        "unet": ("UNETLoader", {"unet_name": "wan2.1_i2v.safetensors", "weight_dtype": "default"}),
        "clip": ("CLIPLoader", {"clip_name": "umt5_xxl.safetensors", "type": "wan"}),
        "vae": ("VAELoader", {"vae_name": "wan_2.1_vae.safetensors"}),
        "see": ("CLIPVisionLoader", {"clip_name": "clip_vision_h.safetensors"}),
        "a": ("LoadImage", {"image": "a.png"}),
        "b": ("LoadImage", {"image": "b.png"}),
        "seen": ("CLIPVisionEncode", {"clip_vision": ["see", 0], "image": ["a", 0], "crop": "none"}),
        "last": ("CLIPVisionEncode", {"clip_vision": ["see", 0], "image": ["b", 0], "crop": "none"}),
        "words": ("CLIPTextEncode", {"clip": ["clip", 0], "text": "a fox"}),
        "against": ("CLIPTextEncode", {"clip": ["clip", 0], "text": "blurred"}),
        "wan": ("WanImageToVideo", {**prompts, **made, "start_image": ["a", 0], "clip_vision_output": ["seen", 0]}),
        "run": ("KSampler", {**run, **links}),
        "decode": ("VAEDecode", {"samples": ["run", 0], "vae": ["vae", 0]}),
        "video": ("CreateVideo", {"images": ["decode", 0], "fps": 16.0}),
        "save": ("SaveVideo", {"video": ["video", 0], "filename_prefix": "video/a", "format": "auto", "codec": "auto"}),
        **changes,
    }
    return {id: {"class_type": name, "inputs": inputs} for id, (name, inputs) in given.items()}


BOTH: Tree = {
    **{name: value for name, value in clip()["wan"]["inputs"].items() if name != "clip_vision_output"},
    "end_image": ["b", 0],
    "clip_vision_start_image": ["seen", 0],
    "clip_vision_end_image": ["last", 0],
}


def read(tree: Tree) -> Graph:
    return document.read(json.dumps(tree))


def inputs_of(graph: Graph, type: str) -> list[Tree]:
    return [dict(node.inputs) for node in graph.nodes.values() if node.type == type]


@pytest.mark.parametrize("ends", [False, True])
def test_a_clip_between_pictures_is_imported_checked_and_exported(ends: bool) -> None:
    graph = read(clip(wan=("WanFirstLastFrameToVideo", BOTH)) if ends else clip())
    (beginning,) = inputs_of(graph, "ImageToVideoGuide")
    assert not graph.faults and ("last" in beginning) is ends
    (text, _) = inputs_of(graph, "TextEncode")
    assert text["max_sequence_length"] == 512
    assert inputs_of(graph, "MakeComfySigmas")[0]["shift"] == 8.0
    assert inputs_of(graph, "VAEDecodeVideo")[0]["rate"] == 16.0 and not inputs_of(graph, "VAEDecode")
    with Engine(store=None) as engine:
        codes = {one.code for one in engine.check(graph).problems}
        again = read(export_comfyui(graph, engine.catalog))
    assert codes <= {"unknown-model", "missing-file", "missing-package"}
    assert not again.faults
    assert len(inputs_of(again, "ImageToVideoGuide")) == 1


def test_two_models_take_turns_over_one_clip() -> None:
    latent = {"width": 64, "height": 64, "length": 5, "batch_size": 1}
    run = {"cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "steps": 4, "noise_seed": 1}
    links = {"positive": ["words", 0], "negative": ["against", 0]}
    first = {"add_noise": "enable", "start_at_step": 0, "end_at_step": 2, "return_with_leftover_noise": "enable"}
    second = {"add_noise": "disable", "start_at_step": 2, "end_at_step": 4, "return_with_leftover_noise": "disable"}
    graph = read(
        clip(
            low=("UNETLoader", {"unet_name": "wan2.2_low.safetensors", "weight_dtype": "default"}),
            empty=("EmptyHunyuanLatentVideo", latent),
            high=("KSamplerAdvanced", {**run, **links, **first, "model": ["unet", 0], "latent_image": ["empty", 0]}),
            run=("KSamplerAdvanced", {**run, **links, **second, "model": ["low", 0], "latent_image": ["high", 0]}),
        )
    )
    high, low = inputs_of(graph, "KSampler")
    assert not graph.faults and low["add_noise"] is False and "add_noise" not in high
    assert inputs_of(graph, "EmptyVideoLatent") == [{"width": 64, "height": 64, "frames": 5}]


@pytest.mark.parametrize("lacks", ["start_image", "clip_vision_start_image"])
def test_a_clip_without_what_it_begins_with_is_refused(lacks: str) -> None:
    given = {name: one for name, one in BOTH.items() if name != lacks}
    assert [one.node for one in read(clip(wan=("WanFirstLastFrameToVideo", given))).faults] == ["wan"]


def ran(folder: Path, **nodes: tuple[str, Tree]) -> list[Any]:
    """The pictures of a graph over the picture `a.png`, which is grey."""
    Pictures.new("RGB", (32, 32), (128, 128, 128)).save(folder / "a.png")
    given: dict[str, tuple[str, Tree]] = {"a": ("LoadImage", {"image": "a.png"}), **nodes}
    graph = read({id: {"class_type": name, "inputs": inputs} for id, (name, inputs) in given.items()})
    assert not graph.faults
    with Engine(store=None, inputs=[folder], output=folder / "out", device="cpu") as engine:
        result = engine.run(graph)
    assert result.status == "done"
    return [Pictures.open(path) for path in result.paths]


def test_an_animated_picture_has_the_frames_of_a_batch(tmp_path: Path) -> None:
    save = {
        "images": ["both", 0],
        "filename_prefix": "a",
        "fps": 8,
        "lossless": True,
        "quality": 80,
        "method": "default",
    }
    two = {"image1": ["a", 0], "image2": ["light", 0]}
    (made,) = ran(
        tmp_path,
        light=("ImageInvert", {"image": ["a", 0]}),
        both=("ImageBatch", two),
        save=("SaveAnimatedWEBP", save),
    )
    assert made.n_frames == 2


def test_a_mask_may_be_grey_and_makes_pictures_transparent(tmp_path: Path) -> None:
    (made,) = ran(
        tmp_path,
        mask=("SolidMask", {"value": 0.25, "width": 32, "height": 32}),
        join=("JoinImageWithAlpha", {"image": ["a", 0], "alpha": ["mask", 0]}),
        save=("SaveImage", {"images": ["join", 0], "filename_prefix": "a"}),
    )
    assert numpy.unique(numpy.asarray(made)[..., 3]).tolist() == [191]
