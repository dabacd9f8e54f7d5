"""Where the words of a prompt act: the sums of what cross-attention gives, and the picture stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention

from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import CFGGuide, EmptyLatent, KSampler, KSamplerAttention, LoadCheckpoint, TextEncode
from weft.nodes.models.attention_maps import AttentionRecord

Call = Callable[..., Any]

TEXT = "a house by a lake"


@pytest.fixture(scope="module")
def guide(call: Call) -> Any:
    """A model of the tiny ones; its tokens are letters."""
    checkpoint = call(LoadCheckpoint, source="epsilon")
    positive, negative = (call(TextEncode, text_encoder=checkpoint.text_encoder, text=text) for text in (TEXT, "night"))
    return call(CFGGuide, model=checkpoint.model, positive=positive, negative=negative, scale=3.0)


def test_the_picture_is_that_of_a_sampler_and_each_word_has_its_masks(call: Call, guide: Any) -> None:
    size, settings = EmptyLatent(64, 48, 2), {"seed": 1, "steps": 2, "sampler": "euler"}
    shown = call(KSamplerAttention, guide=guide, latent=size, text=TEXT, words=["house", "a lake"], **settings)
    plain = call(KSampler, guide=guide, latent=size, **settings)
    assert torch.equal(shown.latent.samples, plain.samples)
    assert [mask.coverage.shape for mask in shown.masks] == [(2, 48, 64)] * 2 and shown.image.pixels.shape[0] == 4
    assert all(float(item.max()) == 1 and float(item.min()) >= 0 for mask in shown.masks for item in mask.coverage)
    assert not torch.equal(shown.masks[0].coverage, shown.masks[1].coverage)
    assert torch.equal(call(KSampler, guide=guide, latent=size, **settings).samples, plain.samples)


def test_the_weights_of_all_tokens_sum_to_the_number_of_heads() -> None:
    attention = Attention(query_dim=16, cross_attention_dim=8, heads=4, dim_head=4)
    prompt, hidden = torch.randn(1, 5, 8), torch.randn(1, 12, 16)
    record = AttentionRecord(prompt[0], [[place] for place in range(5)], (3, 4), 1)
    record.add(attention, hidden, prompt)
    assert record.maps is not None and record.maps.shape == (1, 5, 3, 4)
    assert torch.allclose(record.maps.sum(1), torch.full((1, 3, 4), 4.0), atol=1e-4)
    scores = (attention.to_q(hidden).view(12, 4, 4) * attention.to_k(prompt).view(5, 4, 4)[2]).sum(-1)
    others = torch.einsum("phc,thc->pth", attention.to_q(hidden).view(12, 4, 4), attention.to_k(prompt).view(5, 4, 4))
    expected = ((scores / 2).exp() / (others / 2).exp().sum(1)).sum(-1)
    assert torch.allclose(record.maps[0, 2].flatten(), expected, atol=1e-5)


def test_only_the_steps_that_are_asked_for_are_summed(call: Call, guide: Any) -> None:
    given = {"guide": guide, "latent": EmptyLatent(64, 64), "text": TEXT, "words": ["house"], "sampler": "euler"}
    first, last, both = (
        call(KSamplerAttention, steps=2, start=start, end=end, **given).masks[0].coverage
        for start, end in ((0.0, 0.5), (0.5, 1.0), (0.0, 1.0))
    )
    assert not torch.equal(first, last)
    assert float((both - first).abs().max()) > 0 and float((both - last).abs().max()) > 0


def test_a_word_that_the_prompt_does_not_have_is_refused(call: Call, guide: Any) -> None:
    with refused("word-not-found", "boat"):
        call(KSamplerAttention, guide=guide, latent=EmptyLatent(64, 64), text=TEXT, words=["boat"], steps=1)
    with refused("wrong-prompt"):
        call(KSamplerAttention, guide=guide, latent=EmptyLatent(64, 64), text=f"{TEXT} " * 9, words=["house"], steps=1)


def test_another_text_than_that_of_the_prompt_is_a_problem_of_the_graph(engine: Engine) -> None:
    """Its words would be sought at places of other words."""

    def shown(text: Any) -> list[str]:
        with Graph() as graph:
            checkpoint = LoadCheckpoint("epsilon")
            prompt: Any = TextEncode(checkpoint.text_encoder, TEXT)
            guide = CFGGuide(checkpoint.model, prompt, scale=3.0)
            picture: Any = KSamplerAttention(guide, EmptyLatent(64, 64), text, ["house"])
            graph.output("image", picture.image)
        return [f"{one.code} {one.input}" for one in engine.check(graph).problems]

    assert shown("a house by a road") == ["wrong-prompt text"] and shown(TEXT) == []
