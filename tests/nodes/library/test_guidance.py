"""Guidance: both prompts in one batch, the empty prompt, ControlNets on either side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from torch import Tensor

from tests.refusals import refused
from weft.engine import Context
from weft.nodes import (
    ApplyControlNet,
    CFGGuide,
    Conditioning,
    Guide,
    Image,
    Latent,
    LoadCheckpoint,
    LoadControlNet,
    Prompt,
    TextEncode,
)
from weft.nodes.sampling.guided_denoiser import guided
from weft.nodes.sampling.sampling_run import Position

Prompts = Conditioning[Any]

SIZE: Latent[Any] = Latent(64, 64, 1)
NOISE = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
PICTURE = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
FIRST, SECOND = Position(0, 2), Position(1, 2)


@dataclass(frozen=True)
class Scene:
    """A tiny model with a positive and a negative prompt, and the same two under a ControlNet."""

    call: Callable[..., Any]
    context: Context
    model: Any
    positive: Prompts
    negative: Prompts
    steered_positive: Prompts
    steered_negative: Prompts

    def guide(self, positive: Prompts, negative: Prompts | None, scale: float = 4.0, **options: float) -> Guide[Any]:
        prompts = {"positive": positive, "negative": negative}
        made: Guide[Any] = self.call(CFGGuide, model=self.model, **prompts, scale=scale, **options)
        return made

    def predict(
        self, positive: Prompts, negative: Prompts | None, scale: float = 4.0, at: Position = FIRST, **options: float
    ) -> Tensor:
        guide = self.guide(positive, negative, scale, **options)
        with self.context.weights(self.model) as model, guided(guide, model, SIZE, self.context) as denoiser:
            return denoiser(NOISE, torch.tensor(500), at)

    def steer(self, picture: Tensor = PICTURE, **options: float) -> tuple[Prompts, Prompts]:
        positive, negative = steered(self.call, self.positive, self.negative, picture, **options)
        return positive, negative


def steered(call: Any, positive: Prompts, negative: Prompts | None, picture: Tensor = PICTURE, **options: float) -> Any:
    net = call(LoadControlNet, source="edges")
    inputs = {"positive": positive, "negative": negative, "control_net": net, "image": Image(picture)}
    return call(ApplyControlNet, **inputs, **options)


def with_changes(prompt: Prompt[Any], **changed: Any) -> Prompts:
    """One prompt with something else in it."""
    return Conditioning((replace(prompt, **changed),))


@pytest.fixture(scope="module")
def scene(call: Callable[..., Any], context: Context) -> Scene:
    checkpoint = call(LoadCheckpoint, source="epsilon")
    prompts = [call(TextEncode, text_encoder=checkpoint.text_encoder, text=text) for text in ("a house", "night")]
    return Scene(call, context, checkpoint.model, *prompts, *steered(call, *prompts))


@pytest.mark.parametrize(("scale", "expected"), [(4.0, [2]), (1.0, [1])])
def test_guidance_is_one_batch_and_at_scale_1_one_conditional_forward(
    scene: Scene, scale: float, expected: list[int]
) -> None:
    seen: list[int] = []
    with scene.context.weights(scene.model) as model:
        hook = model.network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
        scene.predict(scene.positive, scene.negative, scale)
        hook.remove()
    assert seen == expected


def test_guidance_is_linear_in_its_scale(scene: Scene) -> None:
    none, one, three = (scene.predict(scene.positive, scene.negative, scale) for scale in (0.0, 1.0, 3.0))
    assert torch.allclose(three, none + 3 * (one - none), atol=1e-5)


def test_guidance_acts_within_its_fractions(scene: Scene) -> None:
    plain, alone = (scene.predict(scene.positive, scene.negative, scale, at=SECOND) for scale in (4.0, 1.0))
    late = scene.predict(scene.positive, scene.negative, at=SECOND, start=0.5)
    over = scene.predict(scene.positive, scene.negative, at=SECOND, end=0.5)
    assert torch.equal(late, plain) and torch.equal(over, alone)


def test_rescaled_guidance_is_what_diffusers_makes_of_it(scene: Scene) -> None:
    plain, positive = (scene.predict(scene.positive, scene.negative, scale) for scale in (4.0, 1.0))
    rescale: Any = rescale_noise_cfg
    wanted = rescale(plain, positive, guidance_rescale=0.7)
    assert torch.allclose(scene.predict(scene.positive, scene.negative, rescale=0.7), wanted, atol=1e-6)


def test_fractions_that_follow_each_other_leave_no_step_out() -> None:
    for count in range(1, 30):
        for middle in (0.1, 0.3, 0.5, 0.77):
            positions = [Position(index, count) for index in range(count)]
            assert all(one.among(0, middle) != one.among(middle, 1) for one in positions)


def test_no_negative_prompt_is_the_empty_one(scene: Scene) -> None:
    empty = scene.call(TextEncode, text_encoder=scene.positive.prompts[0].encoder, text="")
    negative = scene.guide(scene.positive, None).negative
    assert negative is not None and torch.equal(negative.prompts[0].embeddings, empty.prompts[0].embeddings)


def test_the_empty_prompt_is_under_the_controls_of_the_positive_one(scene: Scene) -> None:
    alone = steered(scene.call, scene.positive, None)
    negative = scene.guide(alone.positive, alone.negative).negative
    assert alone.negative is None
    assert negative is not None and negative.prompts[0].controls == alone.positive.prompts[0].controls


def test_a_control_acts_on_the_prompt_that_has_it(scene: Scene) -> None:
    """Guidance is linear in both predictions, so steering both moves the result by what steering each does."""
    plain = scene.predict(scene.positive, scene.negative)
    positive = scene.predict(scene.steered_positive, scene.negative) - plain
    negative = scene.predict(scene.positive, scene.steered_negative) - plain
    both = scene.predict(scene.steered_positive, scene.steered_negative) - plain
    assert torch.allclose(both, positive + negative, atol=1e-4)
    assert positive.abs().max() > 0.01 < negative.abs().max()


def test_controls_that_are_equal_but_not_identical_run_once(scene: Scene) -> None:
    """Values that come out of a store are equal, never identical."""
    (prompt,) = scene.steered_positive.prompts
    copied = replace(prompt.controls[0], image=PICTURE.clone())
    guide = scene.guide(with_changes(prompt, controls=(copied,)), scene.steered_negative)
    with scene.context.weights(scene.model) as model, guided(guide, model, SIZE, scene.context) as denoiser:
        assert len(denoiser.nets) == 1 and [one.controls for one in denoiser.prompts] == [(0,), (0,)]


def test_a_control_acts_within_its_fractions(scene: Scene) -> None:
    early = scene.steer(end=0.5)
    assert not torch.equal(scene.predict(*early), scene.predict(scene.positive, scene.negative))
    late, plain = scene.predict(*early, at=SECOND), scene.predict(scene.positive, scene.negative, at=SECOND)
    assert torch.equal(late, plain)


def test_a_picture_of_another_size_is_scaled(scene: Scene) -> None:
    large = PICTURE.repeat_interleave(2, 1).repeat_interleave(2, 2)
    moved = scene.predict(*scene.steer(large)) - scene.predict(*scene.steer())
    assert moved.abs().max() < 0.1


def test_a_prompt_of_another_text_encoder_is_refused(scene: Scene) -> None:
    (prompt,) = scene.positive.prompts
    wide = with_changes(prompt, embeddings=prompt.embeddings.repeat(1, 1, 2))
    with refused("wrong-channels", 128, 64):
        scene.predict(wide, scene.negative)


def test_a_control_net_of_another_model_is_refused(scene: Scene) -> None:
    other = scene.call(LoadControlNet, source="other")
    (prompt,) = scene.steered_positive.prompts
    control = replace(prompt.controls[0], control_net=other)
    with refused("wrong-control-net", "block_out_channels"):
        scene.predict(with_changes(prompt, controls=(control,)), scene.negative)


def test_prompts_come_one_for_all_or_one_an_item(scene: Scene) -> None:
    (prompt,) = scene.positive.prompts
    three = with_changes(prompt, embeddings=prompt.embeddings.repeat(3, 1, 1))
    with refused("batch-mismatch", 3, 1):
        scene.predict(three, scene.negative)
