"""Prompts that act together: what the model predicts under several is put together from what it predicts under each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.refusals import refused
from weft.engine import Context, Engine, Graph
from weft.engine.store.codec import content_digest, flatten, restore
from weft.nodes import (
    ApplyControlNet,
    AveragePrompts,
    CFGGuide,
    CombinePrompts,
    ConcatPrompts,
    Conditioning,
    Image,
    Latent,
    LoadCheckpoint,
    LoadControlNet,
    Mask,
    Prompt,
    PromptArea,
    PromptMask,
    PromptSteps,
    TextEncode,
    TextEncoder,
)
from weft.nodes.sampling.guided_denoiser import guided
from weft.nodes.sampling.sampling_run import Position

SIZE: Latent[Any] = Latent(64, 64, 1)
NOISE = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
FIRST, SECOND = Position(0, 2), Position(1, 2)
Cond = Conditioning[Any]
RECIPE: TextEncoder[Any] = TextEncoder("0" * 64, "SD1", "", "float32")


@dataclass(frozen=True)
class Scene:
    """A tiny model with two prompts."""

    call: Callable[..., Any]
    context: Context
    model: Any
    house: Cond
    lake: Cond

    def predict(self, positive: Cond, negative: Cond | None = None, at: Position = FIRST, scale: float = 1) -> Tensor:
        guide = self.call(CFGGuide, model=self.model, positive=positive, negative=negative, scale=scale)
        with self.context.weights(self.model) as model, guided(guide, model, SIZE, self.context) as denoiser:
            return denoiser(NOISE, torch.tensor(500), at)

    def both(self, *prompts: Cond) -> Cond:
        combined: Cond = self.call(CombinePrompts, prompts=list(prompts))
        return combined


@pytest.fixture(scope="module")
def scene(call: Callable[..., Any], context: Context) -> Scene:
    checkpoint = call(LoadCheckpoint, source="epsilon")
    prompts = [call(TextEncode, text_encoder=checkpoint.text_encoder, text=text) for text in ("a house", "a lake")]
    return Scene(call, context, checkpoint.model, *prompts)


@pytest.fixture(scope="module")
def apart(scene: Scene) -> tuple[Tensor, Tensor]:
    """What the model predicts under each prompt alone."""
    return scene.predict(scene.house), scene.predict(scene.lake)


def test_prompts_side_by_side_are_averaged_by_their_strengths(scene: Scene, apart: tuple[Tensor, Tensor]) -> None:
    house, lake = apart
    strong = scene.call(PromptArea, prompt=scene.house, width=1.0, height=1.0, strength=3.0)
    assert torch.allclose(scene.predict(scene.both(scene.house, scene.lake)), (house + lake) / 2, atol=1e-5)
    assert torch.allclose(scene.predict(scene.both(strong, scene.lake)), (3 * house + lake) / 4, atol=1e-5)
    assert torch.equal(scene.predict(scene.both(scene.house)), house)


def test_a_prompt_acts_in_its_area(scene: Scene, apart: tuple[Tensor, Tensor]) -> None:
    house, lake = apart
    left = scene.call(PromptArea, prompt=scene.house, width=0.5, height=1.0)
    right = scene.call(PromptArea, prompt=scene.lake, width=0.5, height=1.0, left=0.5)
    halves = scene.predict(scene.both(left, right))
    assert torch.allclose(halves, torch.cat([house[..., :4], lake[..., 4:]], dim=-1), atol=1e-5)
    over = scene.predict(scene.both(left, scene.lake))
    assert torch.allclose(over, torch.cat([(house + lake)[..., :4] / 2, lake[..., 4:]], dim=-1), atol=1e-5)


def test_a_prompt_acts_under_its_mask(scene: Scene, apart: tuple[Tensor, Tensor]) -> None:
    house, lake = apart
    coverage = torch.zeros(1, 64, 64)
    coverage[:, :32] = 0.5
    masked = scene.call(PromptMask, prompt=scene.house, mask=Mask(coverage))
    found = scene.predict(scene.both(masked, scene.lake))
    assert torch.allclose(found[..., :3, :], ((house + 2 * lake) / 3)[..., :3, :], atol=1e-5)
    assert torch.allclose(found[..., 5:, :], lake[..., 5:, :], atol=1e-5)


def test_where_nothing_has_weight_all_count_alike(scene: Scene, apart: tuple[Tensor, Tensor]) -> None:
    left, also = (scene.call(PromptArea, prompt=one, width=0.5, height=1.0) for one in (scene.house, scene.lake))
    assert torch.allclose(scene.predict(scene.both(left, also)), sum(apart) / torch.tensor(2), atol=1e-5)


def test_prompts_follow_each_other_in_time(scene: Scene) -> None:
    early, late = (
        scene.call(PromptSteps, prompt=one, start=start, end=end)
        for one, start, end in ((scene.house, 0.0, 0.5), (scene.lake, 0.5, 1.0))
    )
    turning = scene.both(early, late)
    for at, alone in ((FIRST, scene.house), (SECOND, scene.lake)):
        assert torch.equal(scene.predict(turning, at=at), scene.predict(alone, at=at))
    with refused("no-prompt", 1, 2):
        scene.predict(early, at=SECOND)


def test_the_negative_prompt_may_be_several(scene: Scene, apart: tuple[Tensor, Tensor]) -> None:
    house, lake = apart
    away = scene.predict(scene.house, scene.both(scene.house, scene.lake), scale=3.0)
    mean = (house + lake) / 2
    assert torch.allclose(away, mean + 3 * (house - mean), atol=1e-4)


def test_prompts_in_a_row_are_read_in_one_go(scene: Scene) -> None:
    row = scene.call(ConcatPrompts, prompts=[scene.house, scene.lake])
    parts = [one.prompts[0].embeddings for one in (scene.house, scene.lake)]
    assert torch.equal(row.prompts[0].embeddings, torch.cat(parts, dim=1))
    plain, longer, both = scene.predict(scene.lake), scene.predict(row), scene.predict(row, scene.lake, scale=3.0)
    assert torch.allclose(both, plain + 3 * (longer - plain), atol=1e-4)
    assert not torch.allclose(longer, scene.predict(scene.house), atol=1e-3)


def test_between_two_prompts_there_are_others(scene: Scene) -> None:
    ends = [scene.call(AveragePrompts, first=scene.house, second=scene.lake, weight=weight) for weight in (0.0, 1.0)]
    for end, prompt in zip(ends, (scene.house, scene.lake), strict=True):
        assert torch.equal(end.prompts[0].embeddings, prompt.prompts[0].embeddings)


def test_what_cannot_be_put_together_says_so(scene: Scene) -> None:
    combined = scene.both(scene.house, scene.lake)
    (prompt,) = scene.lake.prompts
    short: Cond = Conditioning((replace(prompt, embeddings=prompt.embeddings[:, :9]),))
    with refused("size-mismatch", 77, 9):
        scene.call(AveragePrompts, first=scene.house, second=short)
    with refused("several-prompts", 2, "ConcatPrompts"):
        scene.call(ConcatPrompts, prompts=[scene.house, combined])
    with refused("empty-list"):
        scene.call(CombinePrompts, prompts=[])


def test_a_control_acts_with_the_prompt_that_has_it(scene: Scene, apart: tuple[Tensor, Tensor]) -> None:
    picture = Image(torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0)))
    net = scene.call(LoadControlNet, source="edges")
    inputs = {"positive": scene.house, "negative": None, "control_net": net, "image": picture}
    steered = scene.call(ApplyControlNet, **inputs).positive
    found = scene.predict(scene.both(scene.lake, steered))
    assert torch.allclose(found, (apart[1] + scene.predict(steered)) / 2, atol=1e-5)
    assert not torch.allclose(found, sum(apart) / torch.tensor(2), atol=1e-3)


def test_an_area_over_the_edge_is_a_problem_of_the_graph(engine: Engine) -> None:
    with Graph() as graph:
        prompt = TextEncode(LoadCheckpoint("epsilon").text_encoder, "a house")
        PromptArea(prompt, left=0.5, width=0.75, height=1.0)
    problems = engine.check(graph).problems
    assert [(one.node, one.input) for one in problems if one.node] == [("prompt_area", "width")]


def masked(tokens: int, read: int) -> Cond:
    """A prompt whose last tokens are not read."""
    mask = (torch.arange(tokens) < read).float()[None]
    return Conditioning((Prompt(torch.ones(1, tokens, 4), RECIPE, attention_mask=mask),))


def whole(tokens: int) -> Cond:
    """A prompt without a mask."""
    return Conditioning((Prompt(torch.ones(1, tokens, 4), RECIPE),))


def test_prompts_that_are_put_together_keep_their_attention_masks(call: Callable[..., Any]) -> None:
    both = call(CombinePrompts, prompts=[masked(3, 2), whole(2)]).prompts
    assert both[0].attention_mask.tolist() == [[1, 1, 0]] and both[1].attention_mask is None
    row = call(ConcatPrompts, prompts=[masked(3, 2), whole(2)]).prompts[0]
    assert row.attention_mask.tolist() == [[1, 1, 0, 1, 1]] and row.embeddings.shape == (1, 5, 4)
    between = call(AveragePrompts, first=masked(3, 1), second=masked(3, 2)).prompts[0]
    assert between.attention_mask.tolist() == [[1, 1, 0]], "what either of them reads"


def test_prompts_without_a_mask_have_none_together(call: Callable[..., Any]) -> None:
    assert call(ConcatPrompts, prompts=[whole(3), whole(2)]).prompts[0].attention_mask is None
    assert call(AveragePrompts, first=whole(3), second=whole(3)).prompts[0].attention_mask is None


def test_a_mask_is_part_of_a_prompt_s_digest_and_of_what_a_store_keeps() -> None:
    digests = {content_digest(one) for one in (masked(3, 2), masked(3, 1), whole(3))}
    assert len(digests) == 3
    parts = flatten(masked(3, 2))
    again = restore(parts.tree, parts.tensors.__getitem__, parts.blobs.__getitem__)
    assert again.prompts[0].attention_mask.tolist() == [[1, 1, 0]]
    assert "attention_mask" not in str(flatten(whole(3)).tree), "prompts that are stored already are the same"
