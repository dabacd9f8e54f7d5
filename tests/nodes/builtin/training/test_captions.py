"""Captions name what the scene has, and list what they name."""

import numpy as np

from weft.nodes.builtin.training.captions import PHRASES, draw_caption, full_caption
from weft.nodes.builtin.training.dataset import draw_scenes

SCENES = draw_scenes(300, seed=3)


def test_every_named_factor_is_in_the_text() -> None:
    numbers = np.random.default_rng(0)
    for scene in SCENES:
        caption = draw_caption(scene, numbers)
        for factor in caption.named:
            assert any(phrase in caption.text for phrase in PHRASES[factor][getattr(scene, factor)])


def test_some_captions_are_empty_and_name_nothing() -> None:
    numbers = np.random.default_rng(0)
    captions = [draw_caption(scene, numbers) for scene in SCENES]
    empty = [caption for caption in captions if not caption.text]
    assert 0.05 < len(empty) / len(captions) < 0.25
    assert all(not caption.named for caption in empty)


def test_a_place_is_named_only_with_its_subject() -> None:
    numbers = np.random.default_rng(0)
    captions = [draw_caption(scene, numbers) for scene in SCENES]
    assert all("subject" in caption.named for caption in captions if "place" in caption.named)


def test_a_full_caption_names_every_factor() -> None:
    numbers = np.random.default_rng(0)
    for scene in SCENES[:50]:
        text = full_caption(scene, numbers)
        for factor in set(PHRASES) - ({"place"} if scene.subject == "none" else set()):
            assert any(phrase in text for phrase in PHRASES[factor][getattr(scene, factor)])
