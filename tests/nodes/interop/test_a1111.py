"""Prompts and settings of A1111's web UI become what they mean there, or a problem that says what they meant."""

from __future__ import annotations

from typing import Any

import pytest

from weft.engine import Graph
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
        {"Hires upscale": "2"},
        {"ControlNet 1": '"Module: canny"'},
    ],
)
def test_settings_that_change_the_picture_are_named(settings: dict[str, str]) -> None:
    (fault,) = read("a house", **settings).faults
    assert fault.code == "unmapped-node" and next(iter(settings)) in fault.message
    assert not read("a house", **dict.fromkeys(settings, "None")).faults


def test_a_prompt_that_changes_on_the_way_is_named_and_a_vae_is_loaded() -> None:
    graph = read("a [cat:dog:0.5]", VAE="fine.safetensors")
    (fault,) = graph.faults
    assert fault.code == "unmapped-node" and inputs_of(graph, "LoadVAE")[0]["source"] == "fine.safetensors"
