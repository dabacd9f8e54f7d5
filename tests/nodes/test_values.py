"""Values on links: pictures to Pillow and back, and short texts for each."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from weft.engine import InputError
from weft.engine.store.codec import content_digest
from weft.nodes import VAE, ControlNet, Embedding, Image, Latent, Mask, Model, TextEncoder, TextualInversion
from weft.nodes.values import Weights


@pytest.mark.parametrize("channels", [3, 4])
def test_pictures_survive_the_way_through_pillow(channels: int) -> None:
    levels = torch.arange(2 * 4 * 5 * channels).reshape(2, 4, 5, channels) % 256
    image = Image(levels / 255)
    pictures = image.to_pil()
    assert [(one.size, len(one.getbands())) for one in pictures] == [((5, 4), channels)] * 2
    assert torch.equal(Image.from_pil(*pictures).pixels, image.pixels)


def test_pictures_of_two_sizes_are_no_batch() -> None:
    small, large = Image(torch.zeros(1, 4, 4, 3)), Image(torch.zeros(1, 8, 8, 3))
    with pytest.raises(InputError):
        Image.from_pil(*small.to_pil(), *large.to_pil())


def test_a_value_names_its_size() -> None:
    values = (Latent(64, 32, 2), Image(torch.zeros(2, 32, 64, 4)), Mask(torch.zeros(2, 32, 64)))
    assert all("64" in repr(value) and "32" in repr(value) for value in values)


CHANGE = TextualInversion(Embedding("ab" * 32, "cat"))

RECIPES = [kind("cd" * 32, "SD1", "", "float32") for kind in (Model, TextEncoder, VAE, ControlNet)]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: type(recipe).__name__)
def test_weights_with_changes_have_the_base_of_those_without(recipe: Weights) -> None:
    changed = replace(recipe, changes=(CHANGE,))
    assert changed.base == recipe.base == recipe and changed.patches == (CHANGE,) and recipe.patches == ()
    assert content_digest(changed) != content_digest(recipe) == content_digest(changed.base)


def test_learned_words_come_after_the_changes_to_a_text_encoder() -> None:
    encoder = TextEncoder("cd" * 32, "SD1", "", "float32", (CHANGE.embedding,), changes=(CHANGE, CHANGE))
    assert encoder.patches == (CHANGE, CHANGE, CHANGE) and encoder.base.patches == ()
