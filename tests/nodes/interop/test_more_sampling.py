"""Classes of ComfyUI with settings of their own become nodes that pass the checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image as Pictures
from safetensors.torch import save_file

from tests.nodes import layouts
from tests.nodes.interop.classic import api
from weft.engine import Engine, Graph
from weft.engine.graph import document

Added = tuple[str, dict[str, Any]]
"""A node: its class and its inputs."""


def read(**changes: Added) -> Graph:
    """The classic graph with nodes that are put into it or in place of its own."""
    added = {id: {"class_type": kind, "inputs": inputs} for id, (kind, inputs) in changes.items()}
    return document.read(json.dumps({**api(), **added}))


def of_type(graph: Graph, kind: str) -> dict[str, Any]:
    (found,) = (node for node in graph.nodes.values() if node.type == kind)
    return dict(found.inputs)


LINKS = {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}


@pytest.mark.parametrize("kind", ["KarrasScheduler", "ExponentialScheduler"])
def test_levels_between_given_ends_are_those_of_the_formula(kind: str) -> None:
    given = {"steps": 5, "sigma_max": 10.0, "sigma_min": 0.1, **({"rho": 7.0} if kind[0] == "K" else {})}
    run = {**LINKS, "sampler": ["s", 0], "sigmas": ["l", 0], "cfg": 2.0, "noise_seed": 1, "add_noise": True}
    nodes: dict[str, Added] = {"s": ("SamplerEulerAncestral", {"eta": 1.0}), "l": (kind, given)}
    graph = read(**{**nodes, "3": ("SamplerCustom", run)})
    levels = of_type(graph, "ListSigmas")["levels"]
    ends = numpy.linspace(10.0 ** (1 / 7), 0.1 ** (1 / 7), 5) ** 7 if kind[0] == "K" else numpy.geomspace(10, 0.1, 5)
    assert not graph.faults and numpy.allclose(levels, [*ends, 0])
    assert of_type(graph, "KSampler")["sampler"] == "euler_ancestral"


def test_a_control_network_of_several_kinds_acts_with_one_prompt_as_the_kind_says() -> None:
    apply = {"conditioning": ["6", 0], "control_net": ["u", 0], "image": ["i", 0], "strength": 0.5}
    graph = read(
        n=("ControlNetLoader", {"control_net_name": "union.safetensors"}),
        u=("SetUnionControlNetType", {"control_net": ["n", 0], "type": "openpose"}),
        i=("LoadImage", {"image": "photo.png"}),
        c=("ControlNetApply", apply),
        **{"3": ("KSampler", {**api()["3"]["inputs"], "positive": ["c", 0]})},
    )
    assert not graph.faults and of_type(graph, "ApplyControlNet")["kind"] == "pose"
    assert of_type(graph, "CFGGuide")["negative"].output is None


def test_inpainting_without_a_model_for_it_hides_the_picture_under_the_mask(models: Path, tmp_path: Path) -> None:
    (models / "SD1.5").mkdir(exist_ok=True)
    save_file(layouts.sd1(models / "clip"), models / "SD1.5" / "tiny.safetensors")
    across = numpy.broadcast_to(numpy.arange(64, dtype="uint8"), (64, 64))
    half = numpy.where(across > 32, 0, 255).astype("uint8")
    Pictures.fromarray(numpy.stack([across, across, across, half], -1)).save(tmp_path / "photo.png")
    encode = {"pixels": ["i", 0], "mask": ["i", 1], "vae": ["4", 2], "grow_mask_by": 6}
    start = {**api()["3"]["inputs"], "latent_image": ["e", 0]}
    graph = read(
        i=("LoadImage", {"image": "photo.png"}), e=("VAEEncodeForInpaint", encode), **{"3": ("KSampler", start)}
    )
    assert not graph.faults
    with Engine(store=None, models=[models], inputs=[tmp_path], output=tmp_path / "out") as engine:
        assert engine.run(graph).status == "done"


@pytest.mark.parametrize("kind", ["LatentBlend", "CropMask", "SolidMask"])
def test_latents_and_masks_pass_the_checks(kind: str) -> None:
    nodes: dict[str, Added] = {
        "LatentBlend": ("LatentBlend", {"samples1": ["e", 0], "samples2": ["e", 0], "blend_factor": 0.25}),
        "CropMask": ("SetLatentNoiseMask", {"samples": ["e", 0], "mask": ["c", 0]}),
        "SolidMask": ("SetLatentNoiseMask", {"samples": ["e", 0], "mask": ["m", 0]}),
    }
    more: dict[str, Added] = {
        "i": ("LoadImage", {"image": "photo.png"}),
        "e": ("VAEEncode", {"pixels": ["i", 0], "vae": ["4", 2]}),
        "m": ("SolidMask", {"value": 1.0, "width": 64, "height": 64}),
        "c": ("CropMask", {"mask": ["m", 0], "x": 0, "y": 0, "width": 64, "height": 64}),
    }
    start = {**api()["3"]["inputs"], "latent_image": ["x", 0]}
    graph = read(x=nodes[kind], **more, **{"3": ("KSampler", start)})
    with Engine(store=None) as engine:
        codes = {one.code for one in engine.check(graph).problems}
    assert not graph.faults and codes == {"unknown-model", "missing-file"}


def test_guidance_by_two_prompts_goes_by_the_second_one() -> None:
    two = {"cond1": ["6", 0], "cond2": ["m", 0], "negative": ["7", 0], "cfg_conds": 3.0, "cfg_cond2_negative": 5}
    graph = read(
        m=("CLIPTextEncode", {"text": "a lake", "clip": ["4", 1]}),
        g=("DualCFGGuider", {"model": ["4", 0], **two, "style": "regular"}),
        **sampled("g"),
    )
    assert not graph.faults and of_type(graph, "CFGGuide")["scale"] == 3.0
    assert of_type(graph, "MiddlePromptGuide")["scale"] == 5.0
    nested = read(g=("DualCFGGuider", {"model": ["4", 0], **two, "cond2": ["6", 0], "style": "nested"}), **sampled("g"))
    # n + 5 (m + 3 (p - m) - n) is n + 5 (m - n) + 15 (p - m).
    assert not nested.faults and of_type(nested, "CFGGuide")["scale"] == 15.0
    assert of_type(nested, "MiddlePromptGuide")["scale"] == 5.0


def sampled(guider: str) -> dict[str, Added]:
    """The parts of a sampler with this guider, in place of the classic one."""
    schedule = {"model": ["4", 0], "scheduler": "karras", "steps": 3, "denoise": 1.0}
    run = {"noise": ["n", 0], "guider": [guider, 0], "sampler": ["s", 0], "sigmas": ["l", 0], "latent_image": ["5", 0]}
    return {
        "n": ("RandomNoise", {"noise_seed": 1}),
        "s": ("KSamplerSelect", {"sampler_name": "euler"}),
        "l": ("BasicScheduler", schedule),
        "3": ("SamplerCustomAdvanced", run),
    }


def test_what_a_model_predicts_is_in_its_loader_below_loras() -> None:
    lora = {
        "model": ["4", 0],
        "clip": ["4", 1],
        "lora_name": "l.safetensors",
        "strength_model": 1.0,
        "strength_clip": 1.0,
    }
    start = {**api()["3"]["inputs"], "model": ["p", 0]}
    given = {"model": ["a", 0], "sampling": "v_prediction", "zsnr": True}
    graph = read(a=("LoraLoader", lora), p=("ModelSamplingDiscrete", given), **{"3": ("KSampler", start)})
    loader = of_type(graph, "LoadCheckpoint")
    assert not graph.faults and (loader["prediction"], loader["terminal_snr"]) == ("v_prediction", "zero")
    lcm = read(
        p=("ModelSamplingDiscrete", {**given, "model": ["4", 0], "sampling": "lcm"}), **{"3": ("KSampler", start)}
    )
    assert [one.node for one in lcm.faults] == ["p"]


@pytest.mark.parametrize(
    ("kind", "inputs", "expected"),
    [
        ("ImageBlur", {"blur_radius": 4, "sigma": 0.5}, ("BlurImage", {"radius": 2.0, "reach": 4})),
        (
            "ImageSharpen",
            {"sharpen_radius": 2, "sigma": 1, "alpha": 0.5},
            ("SharpenImage", {"amount": 5.0, "reach": 2}),
        ),
        ("ImageBlend", {"blend_factor": 0.25, "blend_mode": "soft_light"}, ("CompositeImages", {"opacity": 0.25})),
    ],
)
def test_pictures_are_blurred_sharpened_and_blended(kind: str, inputs: dict[str, Any], expected: Any) -> None:
    pictures = {"image1": ["8", 0], "image2": ["8", 0]} if kind == "ImageBlend" else {"image": ["8", 0]}
    graph = read(e=(kind, {**pictures, **inputs}), **{"9": ("SaveImage", {"images": ["e", 0], "filename_prefix": "a"})})
    assert not graph.faults and of_type(graph, expected[0]).items() >= expected[1].items()


@pytest.mark.parametrize(("kind", "by"), [("FreeU", "width"), ("FreeU_V2", "width and mean")])
def test_both_versions_of_free_u_go_by_widths(kind: str, by: str) -> None:
    factors = {"b1": 1.1, "b2": 1.2, "s1": 0.9, "s2": 0.2}
    start = {**api()["3"]["inputs"], "model": ["f", 0]}
    graph = read(f=(kind, {"model": ["4", 0], **factors}), **{"3": ("KSampler", start)})
    assert not graph.faults and of_type(graph, "FreeU")["by"] == by


def test_classes_without_a_counterpart_say_why() -> None:
    save = {"model": ["4", 0], "clip": ["4", 1], "vae": ["4", 2], "filename_prefix": "x"}
    (fault,) = read(s=("CheckpointSave", save)).faults
    assert fault.code == "unmapped-node" and "weft models merge" in fault.message


def test_what_is_assumed_stands_in_the_notes() -> None:
    masked = {"samples": ["5", 0], "mask": ["i", 1]}
    start = {**api()["3"]["inputs"], "latent_image": ["m", 0]}
    graph = read(i=("LoadImage", {"image": "a.png"}), m=("SetLatentNoiseMask", masked), **{"3": ("KSampler", start)})
    assert "Assumed of ComfyUI" in graph.notes and "masks of latents" in graph.notes and not read().notes


def test_an_area_of_a_prompt_is_a_window() -> None:
    area = {"conditioning": ["6", 0], "width": 64, "height": 32, "x": 8, "y": 0, "strength": 1.5}
    both = {"conditioning_1": ["a", 0], "conditioning_2": ["7", 0]}
    start = {**api()["3"]["inputs"], "positive": ["c", 0]}
    graph = read(a=("ConditioningSetArea", area), c=("ConditioningCombine", both), **{"3": ("KSampler", start)})
    window = of_type(graph, "PromptWindow")
    assert not graph.faults and (window["left"], window["width"], window["strength"]) == (8, 64, 1.5)


def test_an_area_in_shares_is_a_window_for_any_size() -> None:
    area = {"conditioning": ["6", 0], "width": 0.5, "height": 1.0, "x": 0.25, "y": 0, "strength": 1.5}
    start = {**api()["3"]["inputs"], "positive": ["a", 0]}
    graph = read(a=("ConditioningSetAreaPercentage", area), **{"3": ("KSampler", start)})
    window = of_type(graph, "PromptWindowShare")
    assert not graph.faults and (window["left"], window["width"], window["height"]) == (0.25, 0.5, 1.0)


@pytest.mark.parametrize(
    ("file", "crop", "fits"), [("h", "none", ["stretch"]), ("h", "center", []), ("s", "center", ["fill"])]
)
def test_an_image_encoder_sees_what_the_graph_says(file: str, crop: str, fits: list[str]) -> None:
    name = {"h": "clip_vision_h.safetensors", "s": "sigclip_vision_patch14_384.safetensors"}[file]
    see = {"clip_vision": ["v", 0], "image": ["i", 0], "crop": crop}
    given = {"conditioning": ["6", 0], "clip_vision_output": ["e", 0], "strength": 1.0, "noise_augmentation": 0.0}
    graph = read(
        v=("CLIPVisionLoader", {"clip_name": name}),
        i=("LoadImage", {"image": "a.png"}),
        e=("CLIPVisionEncode", see),
        u=("unCLIPConditioning", given),
        **{"3": ("KSampler", {**api()["3"]["inputs"], "positive": ["u", 0]})},
    )
    assert [one.inputs["fit"] for one in graph.nodes.values() if one.type == "ScaleImage"] == fits


@pytest.mark.parametrize(("alpha", "faults"), [(0.6, []), (0.5, ["l"])])
def test_the_schedule_of_a_beta_distribution_is_that_of_its_name(alpha: float, faults: list[str]) -> None:
    schedule = {"model": ["4", 0], "steps": 3, "alpha": alpha, "beta": 0.6}
    guided = {name: LINKS[name] for name in ("model", "positive", "negative")}
    nodes = {**sampled("g"), "g": ("CFGGuider", {**guided, "cfg": 2.0}), "l": ("BetaSamplingScheduler", schedule)}
    graph = read(**nodes)
    assert [one.node for one in graph.faults] == faults
