"""What TextEncode makes of a prompt: weights, next to transformers' own text models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from weft.nodes import Conditioning, LoadCheckpoint, Prompt, TextEncode

Encode = Callable[..., Prompt[Any]]

TEXT_MODELS = ("clip", "sd2", "sdxl", "sdxl-refiner", "sd3", "sd3-short", "flux-dev")


@pytest.fixture(scope="module")
def encode(zoo: Any, call: Callable[..., Any]) -> Encode:
    """The prompt that TextEncode gives for a text, with the encoder of a model of the zoo."""

    def give(model: str, text: str, **options: Any) -> Prompt[Any]:
        recipe = call(LoadCheckpoint, source=model if model == "clip" else zoo(model)).text_encoder
        told: Conditioning[Any] = call(TextEncode, text_encoder=recipe, text=text, **options)
        return told.prompts[0]

    return give


def same(one: Prompt[Any], other: Prompt[Any]) -> bool:
    """Whether two prompts are the same, bit for bit."""
    if one.pooled is None or other.pooled is None:
        return torch.equal(one.embeddings, other.embeddings) and one.pooled is other.pooled
    return torch.equal(one.embeddings, other.embeddings) and torch.equal(one.pooled, other.pooled)


@pytest.mark.parametrize("model", TEXT_MODELS)
def test_at_weight_1_parentheses_change_nothing(encode: Encode, model: str) -> None:
    plain = encode(model, "a red house (by) the lake", weights=False)
    assert same(encode(model, r"a (red:1.0) ((house:2):0.5) \(by\) the lake"), plain)


@pytest.mark.parametrize("model", TEXT_MODELS)
def test_words_go_away_from_the_empty_prompt_by_their_weight(encode: Encode, model: str) -> None:
    empty, plain = encode(model, ""), encode(model, "a red house by the lake")
    weighted = encode(model, "(a red house by the lake:1.5)")
    moved = (weighted.embeddings - plain.embeddings).abs().amax(-1)[0] > 1e-6
    wanted = torch.lerp(empty.embeddings, plain.embeddings, 1.5)
    assert torch.allclose(weighted.embeddings[0, moved], wanted[0, moved], atol=1e-5)
    assert 6 <= moved.sum() < len(moved) / 2
    assert same(Prompt(plain.embeddings, plain.encoder, pooled=weighted.pooled), plain)


def test_a_weight_moves_its_own_word_alone(encode: Encode) -> None:
    plain, weighted = (encode("clip", text).embeddings for text in ("a red house", "a (red:0)house"))
    spaced = encode("clip", "a (red:0) house").embeddings
    empty = encode("clip", "").embeddings
    assert torch.equal(spaced[0, 2], empty[0, 2])
    assert [at for at in range(77) if not torch.equal(plain[0, at], spaced[0, at])] == [2]
    assert not torch.equal(weighted, spaced)
