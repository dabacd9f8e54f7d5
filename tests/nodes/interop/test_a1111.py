"""Prompts and settings of A1111's web UI become what they mean there, or a problem that says what they meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pictures

from weft.engine import Engine, Graph, events
from weft.nodes.interop.a1111 import read_a1111
from weft.nodes.interop.a1111_prompts import LESS, PromptParts, prompts_in


def read(prompt: str, negative: str = "night", **settings: str) -> Graph:
    given = {"Steps": "4", "Sampler": "Euler", "CFG scale": "3", "Seed": "1", "Size": "64x64", "Model": "tiny"}
    line = ", ".join(f"{name}: {value}" for name, value in {**given, **settings}.items())
    graph = read_a1111({"parameters": f"{prompt}\nNegative prompt: {negative}\n{line}"}, None)
    assert graph is not None
    return graph


def inputs_of(graph: Graph, type: str) -> list[dict[str, Any]]:
    return [dict(node.inputs) for node in graph.nodes.values() if node.type == type]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a house", [PromptParts(("a house",))]),
        ("a house AND a lake :0.5", [PromptParts(("a house",)), PromptParts(("a lake",), 0.5)]),
        ("(a house:0.5) AND (a lake:1.2)", [PromptParts(("(a house:0.5)",)), PromptParts(("(a lake:1.2)",))]),
        ("a BREAK b", [PromptParts(("a", "b"))]),
        ("[a [b]] \\[c\\]", [PromptParts((f"(a (b:{LESS}):{LESS}) [c]",))]),
        ("a [cat:dog:0.5]", [PromptParts(("a cat:dog:0.5",), 1.0, ("[cat:dog:0.5]",))]),
        ("[a|b]", [PromptParts(("a|b",), 1.0, ("[a|b]",))]),
        ("[" * 5_000 + "]" * 5_000, None),
    ],
)
def test_a_text_is_read_in_its_parts(text: str, parts: list[PromptParts] | None) -> None:
    found = prompts_in(text, several=True)
    assert parts is None or found == parts


def test_prompts_side_by_side_guide_by_the_sum_of_their_weights() -> None:
    graph = read("a house AND a lake :0.5 AND hills")
    (guide,), (combined,) = inputs_of(graph, "CFGGuide"), inputs_of(graph, "CombinePrompts")
    assert not graph.faults and guide["scale"] == 7.5 and len(combined["prompts"]) == 3
    assert [one["strength"] for one in inputs_of(graph, "PromptArea")] == [0.5]
    assert "prompt" not in graph.parameters and graph.parameters["negative_prompt"].sets == ("negative.text",)


def test_a_break_is_encoded_apart_and_other_words_stay_in_a_negative_prompt() -> None:
    graph = read("a house BREAK a lake", "night AND fog")
    assert [one["text"] for one in inputs_of(graph, "TextEncode")] == ["a house", "a lake", "night AND fog"]
    assert not graph.faults and len(inputs_of(graph, "ConcatPrompts")) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"Variation seed": "5"},
        {"Tiling": "True"},
        {"Face restoration": "CodeFormer"},
        {"Hires upscale": "2", "Hires checkpoint": "other"},
        {"Hires upscale": "many"},
        {"Hires resize": "96x64"},
        {"Hires upscale": "1.5", "Hires upscaler": "Latent (nearest)"},
        {"Hires upscale": "2", "Hires prompt": "<lora:more:1> a lake"},
        {"Denoising strength": "0.5"},
        {"ControlNet 1": '"Module: canny"'},
    ],
)
def test_settings_that_change_the_picture_are_named(settings: dict[str, str]) -> None:
    (fault,) = read("a house", **settings).faults
    assert fault.code == "unmapped-node" and fault.message
    assert not read("a house", **dict.fromkeys(settings, "None")).faults


def test_a_prompt_that_changes_on_the_way_is_named_and_a_vae_is_loaded() -> None:
    graph = read("a [cat:dog:0.5]", VAE="fine.safetensors")
    (fault,) = graph.faults
    assert fault.code == "unmapped-node" and inputs_of(graph, "LoadVAE")[0]["source"] == "fine.safetensors"


@pytest.mark.parametrize(
    ("settings", "size", "upscaled"),
    [
        ({"Hires upscale": "1.7"}, (216, 104), {"ScaleLatent": {"method": "bilinear_aliased"}}),
        (
            {"Hires upscale": "2", "Hires upscaler": "Latent (bicubic antialiased)"},
            (256, 128),
            {"ScaleLatent": {"method": "bicubic"}},
        ),
        ({"Hires resize": "192x0", "Hires upscaler": "None"}, (192, 96), {"ScaleImage": {"filter": "lanczos"}}),
        (
            {"Hires resize": "256x128", "Hires upscaler": "R-ESRGAN 4x+"},
            (256, 128),
            {"LoadUpscaler": {"source": "RealESRGAN_x4plus.safetensors"}, "ScaleImage": {"filter": "lanczos"}},
        ),
        (
            {"Hires upscale": "2", "Hires upscaler": "4x-UltraSharp"},
            (256, 128),
            {"LoadUpscaler": {"source": "4x-UltraSharp.safetensors"}},
        ),
    ],
)
def test_what_is_sampled_is_enlarged_and_sampled_again(
    settings: dict[str, str], size: tuple[int, int], upscaled: dict[str, dict[str, Any]]
) -> None:
    graph = read("a house", **{"Size": "128x64", "Denoising strength": "0.5", **settings})
    assert not graph.faults
    for type, wanted in upscaled.items():
        (inputs,) = inputs_of(graph, type)
        assert wanted.items() <= inputs.items() and (inputs.get("width"), inputs.get("height")) in (size, (None, None))
    first, second = inputs_of(graph, "MakeComfySigmas")
    assert (first["steps"], second["steps"], second["denoise"]) == (4, 4, 0.5)
    assert graph.parameters["seed"].sets == ("sampler.seed", "sampler_larger.seed")


def test_the_second_pass_has_settings_of_its_own() -> None:
    own = {"Hires steps": "6", "Hires sampler": "DPM++ 2M", "Hires schedule type": "Karras", "Hires CFG Scale": "5"}
    texts = {"Hires prompt": "a lake", "Hires negative prompt": "fog", "Hires Module 1": "Use same choices"}
    graph = read("a house", **{"Hires upscale": "2", "Denoising strength": "1", **own, **texts})
    first, second = inputs_of(graph, "KSampler")
    assert (first["sampler"], second["sampler"]) == ("euler", "dpmpp_2m") and not graph.faults
    assert [one["scale"] for one in inputs_of(graph, "CFGGuide")] == [3.0, 5.0]
    assert [one["text"] for one in inputs_of(graph, "TextEncode")] == ["a house", "night", "a lake", "fog"]
    levels = inputs_of(graph, "MakeComfySigmas")[1]
    assert (levels["steps"], levels["schedule"], levels["denoise"]) == (6, "karras", 0.999)


@pytest.mark.parametrize("upscaler", ["Latent", "Lanczos"])
def test_both_passes_are_run(upscaler: str, tmp_path: Path, engine: Engine) -> None:
    graph = read("a house", **{"Model": "builtin:landscapes", "Hires upscale": "2", "Hires upscaler": upscaler})
    steps: list[str] = []

    def hear(event: events.Event) -> None:
        if isinstance(event, events.NodeProgress):
            steps.append(event.node)

    result = engine.run(graph, output=tmp_path, listener=hear)
    assert not result.failures and [one.size for one in map(Pictures.open, tmp_path.glob("*.png"))] == [(128, 128)]
    assert steps.count("sampler") == steps.count("sampler_larger") == 4
