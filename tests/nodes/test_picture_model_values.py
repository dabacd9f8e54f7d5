"""Recipes of models that read or make pictures."""

from __future__ import annotations

from weft.engine.store.codec import content_digest
from weft.nodes import Upscaler


def test_a_recipe_differs_by_all_that_changes_the_weights() -> None:
    one = Upscaler("a" * 64, "", "float32")
    others = [
        Upscaler("b" * 64, "", "float32"),
        Upscaler("a" * 64, "fp16", "float32"),
        Upscaler("a" * 64, "", "float16"),
    ]
    assert len({content_digest(recipe) for recipe in (one, *others)}) == 4
    assert content_digest(one) == content_digest(Upscaler("a" * 64, "", "float32"))
