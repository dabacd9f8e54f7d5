"""Searching names and prose by words."""

from __future__ import annotations

import pytest

from weft.engine.word_search import found, relevance


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("img2img", "img2img"),
        ("inpainting", "inpaint"),
        ("upscale", "a picture after upscaling"),
        ("lora", "LoadLoRA"),
        ("text to image", "text_to_image"),
        ("control-net", "LoadControlNet"),
        ("land", "landscapes"),
    ],
)
def test_a_word_finds_names_in_other_spellings(word: str, name: str) -> None:
    assert relevance([word], [name])


def test_prose_counts_by_the_beginnings_of_its_words() -> None:
    assert relevance(["ram"], [], ["a parameter"]) == 0
    assert relevance(["param"], [], ["a parameter"]) > 0


def test_every_word_must_be_found() -> None:
    assert relevance(["sdxl", "turbo"], ["sdxl_turbo"]) > 0
    assert relevance(["sdxl", "refiner"], ["sdxl_turbo"]) == 0


def test_whole_names_come_before_parts_and_prose() -> None:
    among = {"prose": ([], ["a mask"]), "part": (["ImageToMask"], []), "whole": (["mask"], []), "none": (["a"], ["b"])}
    assert found(["mask"], among) == ["whole", "part", "prose"]
    assert found([], among) == [*among]
