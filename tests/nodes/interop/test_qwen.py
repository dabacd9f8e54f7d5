"""ComfyUI's nodes for Qwen-Image: prompts with pictures to edit, and control networks that change the model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from weft.engine import Graph
from weft.engine.graph import document

Tree = dict[str, Any]


def editing(kind: str, **changes: Any) -> Tree:
    """A graph of Qwen-Image-Edit with two pictures, in which both prompts are of this class."""
    images = {"image": ["a", 0]} if kind == "TextEncodeQwenImageEdit" else {"image1": ["a", 0], "image2": ["b", 0]}
    clip = {"clip_name": "qwen_2.5_vl_7b.safetensors", "type": "qwen_image"}
    text = {"clip": ["clip", 0], "vae": ["vae", 0], **images}
    links = {"positive": ["text", 0], "negative": ["none", 0], "model": ["norm", 0], "latent_image": ["start", 0]}
    run = {"seed": 1, "steps": 4, "cfg": 2.5, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    given: dict[str, tuple[str, Tree]] = {
        "unet": ("UNETLoader", {"unet_name": "qwen_image_edit.safetensors", "weight_dtype": "default"}),
        "clip": ("CLIPLoader", clip),
        "vae": ("VAELoader", {"vae_name": "qwen_image_vae.safetensors"}),
        "a": ("LoadImage", {"image": "a.png"}),
        "b": ("LoadImage", {"image": "b.png"}),
        "text": (kind, {**text, "prompt": "make the sky red"}),
        "none": (kind, {**text, "prompt": ""}),
        "norm": ("CFGNorm", {"model": ["unet", 0], "strength": 1.0}),
        "start": ("VAEEncode", {"pixels": ["a", 0], "vae": ["vae", 0]}),
        "run": ("KSampler", {**run, **links}),
        "decode": ("VAEDecode", {"samples": ["run", 0], "vae": ["vae", 0]}),
        "save": ("SaveImage", {"images": ["decode", 0], "filename_prefix": "made"}),
        **changes,
    }
    return {id: {"class_type": name, "inputs": inputs} for id, (name, inputs) in given.items()}


def read(tree: Tree) -> Graph:
    graph = document.read(json.dumps(tree))
    assert not graph.faults
    return graph


def of_type(graph: Graph, kind: str) -> list[Any]:
    return [node for node in graph.nodes.values() if node.type == kind]


@pytest.mark.parametrize(
    ("kind", "pictures", "seen"),
    [("TextEncodeQwenImageEdit", 1, 1.0), ("TextEncodeQwenImageEditPlus", 2, 384**2 / 1024**2)],
)
def test_the_language_model_and_the_transformer_see_the_pictures(kind: str, pictures: int, seen: float) -> None:
    graph = read(editing(kind))
    prompts = of_type(graph, "EncodeEditPrompt")
    assert [node.inputs["text"] for node in prompts] == ["make the sky red", ""]
    for node in prompts:
        sizes = [graph.nodes[link.node].inputs["megapixels"] for link in node.inputs["images"]]
        assert sizes == [seen] * pictures and node.inputs.get("numbered", True) is (pictures > 1)
    guides = of_type(graph, "ReferenceGuide")
    assert len(guides) == pictures
    shown = [graph.nodes[node.inputs["image"].node] for node in guides]
    assert [node.inputs["megapixels"] for node in shown] == [1.0] * pictures
    assert {"prompt", "negative_prompt"} <= {*graph.parameters}


def test_a_control_network_in_the_model_acts_with_the_prompts() -> None:
    patch = {"model": ["unet", 0], "model_patch": ["patch", 0], "vae": ["vae", 0], "image": ["a", 0], "strength": 0.5}
    tree = editing(
        "TextEncodeQwenImageEditPlus",
        patch=("ModelPatchLoader", {"name": "union.safetensors"}),
        norm=("CFGNorm", {"model": ["control", 0], "strength": 1.0}),
        control=("QwenImageDiffsynthControlnet", patch),
    )
    (control,) = of_type(read(tree), "ApplyControlNet")
    assert control.inputs["strength"] == 0.5 and control.inputs["negative"] is not None
