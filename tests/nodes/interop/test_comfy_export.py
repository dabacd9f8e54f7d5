"""What was imported from ComfyUI is exported as what is imported as the same graph."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.nodes.interop.classic import api, editor
from tests.nodes.interop.test_qwen import editing
from weft.engine import Engine, Graph, GraphError
from weft.engine.cli import call
from weft.engine.graph import document
from weft.engine.spec.catalog import Catalog
from weft.nodes.interop.comfy_export import export_comfyui

Tree = dict[str, Any]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Engine(store=None, device="cpu").catalog


def read(tree: Any) -> Graph:
    return document.read(json.dumps(tree))


def node(type: str, /, **inputs: Any) -> Tree:
    return {"class_type": type, "inputs": inputs}


def titled(tree: Tree, **titles: str) -> Tree:
    return {
        id: one | ({"_meta": {"title": titles[f"n{id}"]}} if f"n{id}" in titles else {}) for id, one in tree.items()
    }


def custom() -> Tree:
    """SamplerCustomAdvanced over FLUX.1's parts."""
    tree = api()
    del tree["3"], tree["4"], tree["7"]
    return tree | {
        "1": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="fp8_e4m3fn"),
        "2": node("DualCLIPLoader", clip_name1="t5xxl.safetensors", clip_name2="clip_l.safetensors", type="flux"),
        "3": node("VAELoader", vae_name="ae.safetensors"),
        "6": node("CLIPTextEncode", clip=["2", 0], text="a red house"),
        "8": node("VAEDecode", samples=["14", 0], vae=["3", 0]),
        "10": node("FluxGuidance", conditioning=["6", 0], guidance=3.0),
        "11": node("BasicGuider", model=["1", 0], conditioning=["10", 0]),
        "12": node("BasicScheduler", model=["1", 0], scheduler="simple", steps=4, denoise=0.5),
        "13": node("KSamplerSelect", sampler_name="uni_pc_bh2"),
        "15": node("RandomNoise", noise_seed=5),
        "14": node(
            "SamplerCustomAdvanced",
            noise=["15", 0],
            guider=["11", 0],
            sampler=["13", 0],
            sigmas=["12", 0],
            latent_image=["5", 0],
        ),
    }


def pictures() -> Tree:
    """What changes pictures, masks and latents."""
    tree = api()
    given: dict[str, tuple[str, Tree]] = {
        "20": ("LoadImage", {"image": "photo.png"}),
        "21": ("ImageScaleToTotalPixels", {"image": ["20", 0], "upscale_method": "area", "megapixels": 0.5}),
        "22": ("Canny", {"image": ["21", 0], "low_threshold": 0.2, "high_threshold": 0.8}),
        "23": ("ImageBlur", {"image": ["22", 0], "blur_radius": 4, "sigma": 0.5}),
        "24": ("ImageSharpen", {"image": ["23", 0], "sharpen_radius": 2, "sigma": 1.0, "alpha": 0.5}),
        "25": ("FeatherMask", {"mask": ["20", 1], "left": 4, "top": 0, "right": 0, "bottom": 2}),
        "26": ("GrowMask", {"mask": ["25", 0], "expand": 3, "tapered_corners": True}),
        "27": ("MaskComposite", {"destination": ["26", 0], "source": ["20", 1], "x": 0, "y": 0, "operation": "or"}),
        "28": (
            "ImageCompositeMasked",
            {"destination": ["20", 0], "source": ["24", 0], "mask": ["27", 0], "x": 0, "y": 0, "resize_source": False},
        ),
        "29": ("SaveImage", {"images": ["28", 0], "filename_prefix": "shown"}),
        "30": ("LatentUpscaleBy", {"samples": ["5", 0], "upscale_method": "bilinear", "scale_by": 1.5}),
        "31": ("FreeU", {"model": ["4", 0], "b1": 1.1, "b2": 1.2, "s1": 0.9, "s2": 0.2}),
    }
    tree |= {id: node(type, **inputs) for id, (type, inputs) in given.items()}
    tree["3"]["inputs"] |= {"model": ["31", 0], "latent_image": ["30", 0]}
    return tree


def two_runs() -> Tree:
    """A base and a second run in part of the steps, with a LoRA, a layer of CLIP and rescaled guidance."""
    tree = api()
    advanced: Tree = {"noise_seed": 7, "steps": 20, "cfg": 8.0, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
    links = {"positive": ["6", 0], "negative": ["7", 0]}
    tree["10"] = node("LoraLoader", model=["4", 0], clip=["4", 1], lora_name="a\\b.safetensors", strength_model=0.5)
    tree["10"]["inputs"]["strength_clip"] = 1.0
    tree["11"] = node("CLIPSetLastLayer", clip=["10", 1], stop_at_clip_layer=-2)
    tree["12"] = node("RescaleCFG", model=["10", 0], multiplier=0.7)
    for prompt in ("6", "7"):
        tree[prompt]["inputs"]["clip"] = ["11", 0]
    tree["3"] = node(
        "KSamplerAdvanced", model=["12", 0], latent_image=["5", 0], **links, **advanced, add_noise="enable"
    )
    tree["3"]["inputs"] |= {"start_at_step": 0, "end_at_step": 15, "return_with_leftover_noise": "enable"}
    tree["13"] = node(
        "KSamplerAdvanced", model=["10", 0], latent_image=["3", 0], **links, **advanced, add_noise="disable"
    )
    tree["13"]["inputs"] |= {"start_at_step": 15, "end_at_step": 10_000, "return_with_leftover_noise": "disable"}
    tree["8"]["inputs"]["samples"] = ["13", 0]
    return titled(tree, n13="Second run", n10="My LoRA", n9="The result")


def of_pictures() -> Tree:
    """A picture is padded with its mask, scaled, encoded and painted in part."""
    tree = api(denoise=0.6)
    tree["20"] = node("LoadImage", image="in.png")
    tree["21"] = node("ImageScale", image=["20", 0], upscale_method="bicubic", width=64, height=64, crop="center")
    tree["22"] = node("VAEEncode", pixels=["21", 0], vae=["4", 2])
    tree["23"] = node("SetLatentNoiseMask", samples=["22", 0], mask=["20", 1])
    tree["24"] = node("ControlNetLoader", control_net_name="canny.safetensors")
    tree["25"] = node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], control_net=["24", 0])
    tree["25"]["inputs"] |= {"image": ["21", 0], "strength": 0.8, "start_percent": 0.0, "end_percent": 0.5}
    tree["3"]["inputs"] |= {"latent_image": ["23", 0], "positive": ["25", 0], "negative": ["25", 1]}
    return tree


def of_prompts() -> Tree:
    """Prompts that are combined, joined, averaged, for some steps, and zeros; a scale of 1 takes no negative one."""
    tree = api(cfg=1.0)
    tree["10"] = node("CLIPTextEncode", clip=["4", 1], text="two")
    tree["11"] = node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["10", 0])
    tree["12"] = node("ConditioningConcat", conditioning_to=["11", 0], conditioning_from=["10", 0])
    tree["13"] = node(
        "ConditioningAverage", conditioning_to=["12", 0], conditioning_from=["10", 0], conditioning_to_strength=0.3
    )
    tree["14"] = node("ConditioningSetTimestepRange", conditioning=["13", 0], start=0.1, end=0.9)
    tree["3"]["inputs"]["positive"] = ["14", 0]
    return tree


def inpainting(kind: str) -> Tree:
    """FLUX.1 with pictures that its prompts have: under a mask, at places that a model says, and to refer to."""
    tree = custom()
    tree["20"] = node("LoadImage", image="in.png")
    prompts = {"positive": ["10", 0], "negative": ["10", 0], "vae": ["3", 0], "pixels": ["20", 0]}
    if kind == "InpaintModelConditioning":
        tree["21"] = node(kind, **prompts, mask=["20", 1], noise_mask=True)
        tree["22"] = node("DifferentialDiffusion", model=["1", 0], strength=1.0)
        tree["11"]["inputs"]["model"] = ["22", 0]
    else:
        tree["21"] = node(kind, **prompts)
    tree["11"]["inputs"]["conditioning"] = ["21", 0]
    tree["14"]["inputs"]["latent_image"] = ["21", 2]
    return tree


def referring() -> Tree:
    """Latents to refer to, at places along the diagonal, with texts for both text models."""
    tree = custom()
    tree["6"] = node("CLIPTextEncodeFlux", clip=["2", 0], clip_l="a house", t5xxl="a red house", guidance=3.5)
    tree["20"] = node("LoadImage", image="in.png")
    tree["21"] = node("VAEEncode", pixels=["20", 0], vae=["3", 0])
    tree["22"] = node("ReferenceLatent", conditioning=["10", 0], latent=["21", 0])
    method = {"reference_latents_method": "uxo/uno"}
    tree["23"] = node("FluxKontextMultiReferenceLatentMethod", conditioning=["22", 0], **method)
    tree["11"]["inputs"]["conditioning"] = ["23", 0]
    return tree


def lotus() -> Tree:
    """A map by Lotus, which reads the empty prompt."""
    tree = custom()
    del tree["2"], tree["5"], tree["6"], tree["10"]
    tree["1"]["inputs"]["unet_name"] = "lotus-depth-d.safetensors"
    tree["10"] = node("LotusConditioning")
    tree["15"] = node("DisableNoise")
    tree["16"] = node("SetFirstSigma", sigmas=["12", 0], sigma=999.0)
    tree["20"] = node("LoadImage", image="in.png")
    tree["21"] = node("VAEEncode", pixels=["20", 0], vae=["3", 0])
    tree["14"]["inputs"] |= {"sigmas": ["16", 0], "latent_image": ["21", 0]}
    return tree


def layers() -> Tree:
    """A picture that is divided into layers."""
    tree = editing("TextEncodeQwenImageEdit")
    tree |= {
        "text": node("CLIPTextEncode", clip=["clip", 0], text="a house"),
        "none": node("CLIPTextEncode", clip=["clip", 0], text=""),
        "one": node("ReferenceLatent", conditioning=["text", 0], latent=["start", 0]),
        "other": node("ReferenceLatent", conditioning=["none", 0], latent=["start", 0]),
        "size": node("GetImageSize", image=["a", 0]),
        "split": node("LatentCutToBatch", samples=["run", 0], dim="t", slice_size=1),
    }
    size = {"width": ["size", 0], "height": ["size", 1]}
    tree["empty"] = node("EmptyQwenImageLayeredLatentImage", **size, layers=2, batch_size=1)
    tree["run"]["inputs"] |= {"positive": ["one", 0], "negative": ["other", 0], "latent_image": ["empty", 0]}
    tree["run"]["inputs"]["model"] = ["unet", 0]
    tree["decode"]["inputs"]["samples"] = ["split", 0]
    del tree["b"], tree["norm"]
    return tree


def two_scales() -> Tree:
    """Guidance by two prompts, and by perturbed attention."""
    tree = custom()
    tree["7"] = node("CLIPTextEncode", clip=["2", 0], text="")
    tree["20"] = node("CLIPTextEncode", clip=["2", 0], text="a house")
    tree["21"] = node("PerturbedAttentionGuidance", model=["1", 0], scale=2.0)
    prompts = {"cond1": ["10", 0], "cond2": ["20", 0], "negative": ["7", 0]}
    scales = {"cfg_conds": 3.0, "cfg_cond2_negative": 2.0, "style": "regular"}
    tree["11"] = node("DualCFGGuider", model=["21", 0], **prompts, **scales)
    return tree


TREES: dict[str, Tree] = {
    "edit": editing("TextEncodeQwenImageEdit"),
    "later edit": editing("TextEncodeQwenImageEditPlus"),
    "inpainting": inpainting("InpaintModelConditioning"),
    "following": inpainting("InstructPixToPixConditioning"),
    "referring": referring(),
    "lotus": lotus(),
    "layers": layers(),
    "two scales": two_scales(),
    "classic": api(),
    "editor": editor(1),
    "titles": titled(api(), n3="Base sampler", n6="The prompt", n4="4 Model", n5="Size"),
    "custom": custom(),
    "two runs": two_runs(),
    "further pictures": pictures(),
    "pictures": of_pictures(),
    "prompts": of_prompts(),
}


@pytest.mark.parametrize("name", TREES)
def test_import_export_import_gives_the_same_graph(name: str, catalog: Catalog) -> None:
    graph = read(TREES[name])
    assert not graph.faults
    exported = export_comfyui(graph, catalog)
    again = read(exported)
    assert not again.faults and replace(again, notes=graph.notes) == graph
    assert {id: again.nodes[id].inputs for id in again.nodes} == {id: one.inputs for id, one in graph.nodes.items()}
    assert export_comfyui(again, catalog) == exported


def test_a_ksampler_is_one_node_again(catalog: Catalog) -> None:
    exported = export_comfyui(read(api()), catalog)
    assert sorted(one["class_type"] for one in exported.values()) == sorted(one["class_type"] for one in api().values())
    sampler = next(one["inputs"] for one in exported.values() if one["class_type"] == "KSampler")
    plain = {name: given for name, given in api()["3"]["inputs"].items() if not isinstance(given, list)}
    assert {name: sampler[name] for name in plain} == plain


def test_what_has_no_counterpart_is_listed_and_nothing_is_written(tmp_path: Path) -> None:
    nodes = {
        "load": {"type": "LoadImage", "inputs": {"path": "in.png"}},
        "sheet": {"type": "ContactSheet", "inputs": {"images": [{"link": "load"}]}},
        "blur": {"type": "MakeDepth", "inputs": {}},
        "save": {"type": "SaveImage", "inputs": {"image": {"link": "load"}, "format": "webp"}},
    }
    (tmp_path / "graph.json").write_text(json.dumps({"weft": 1, "nodes": nodes}))
    assert call(["export", str(tmp_path / "graph.json"), "--comfyui", "-o", str(tmp_path / "out.json")]) == 2
    assert not (tmp_path / "out.json").exists()
    with pytest.raises(GraphError) as raised:
        export_comfyui(Graph.load(tmp_path / "graph.json"), {})
    assert [one.node for one in raised.value.problems] == ["sheet", "blur", "save"]


def test_the_command_writes_what_is_imported_again(tmp_path: Path) -> None:
    (tmp_path / "flow.json").write_text(json.dumps(api()))
    target = tmp_path / "out.json"
    command = ["export", str(tmp_path / "flow.json"), "--comfyui", "--set", "seed=9", "-o", str(target)]
    assert call(command) == 0
    assert document.load(target).nodes["k_sampler"].inputs["seed"] == 9


def test_a_node_below_one_without_a_counterpart_is_no_fault_of_its_own(catalog: Catalog) -> None:
    """Its guide is written with the sampler, and needs a prompt that cannot be."""
    tree = api()
    tree["10"] = node("LoadImage", image="a.png")
    net = {"control_net_name": "net.safetensors"}
    tree["11"] = node("ControlNetLoader", **net)
    apply = {"positive": ["6", 0], "negative": ["7", 0], "control_net": ["11", 0], "image": ["10", 0]}
    tree["12"] = node("ControlNetApplyAdvanced", **apply, strength=1.0, start_percent=0.0, end_percent=1.0)
    tree["3"]["inputs"] |= {"positive": ["12", 0], "negative": ["12", 1]}
    graph = read(tree).replace({"apply_control_net.kind": "canny"})
    with pytest.raises(GraphError) as caught:
        export_comfyui(graph, catalog)
    assert [one.node for one in caught.value.problems] == ["apply_control_net"]
