"""Perturbed-attention and adaptive projected guidance by one prediction: what acts when, and what is left behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from torch import Tensor

from tests.nodes.library.test_guidance import FIRST, NOISE, SECOND, SIZE, Scene, scene
from tests.refusals import refused
from weft.nodes import (
    ApplyControlNet,
    CombinePrompts,
    EmptyLatent,
    Guide,
    Image,
    KSampler,
    LoadCheckpoint,
    LoadControlNet,
    MiddlePromptGuide,
    PerturbedAttention,
    ProjectedGuidance,
    PromptWindow,
    PromptWindowShare,
    TextEncode,
)
from weft.nodes.sampling.guided_denoiser import guided
from weft.nodes.sampling.pag import PerturbedLayers
from weft.nodes.sampling.sampling_run import Position

__all__ = ["scene"]

TIME = torch.tensor(500)


def predicted(scene: Scene, guide: Guide[Any], *positions: Position) -> list[Tensor]:
    """The predictions of one run."""
    with scene.context.weights(scene.model) as model, guided(guide, model, SIZE, scene.context) as denoiser:
        return [denoiser(NOISE, TIME, position) for position in positions]


def led(scene: Scene, guide: Guide[Any], scale: float = 3.0) -> Guide[Any]:
    made: Guide[Any] = scene.call(PerturbedAttention, guide=guide, scale=scale)
    return made


def projected(scene: Scene, guide: Guide[Any], **options: float) -> Guide[Any]:
    made: Guide[Any] = scene.call(ProjectedGuidance, guide=guide, **options)
    return made


def processors(model: Any) -> list[int]:
    return [id(processor) for processor in model.network.attn_processors.values()]


def test_a_network_is_as_it_was_after_a_call_and_after_an_error(scene: Scene) -> None:
    with scene.context.weights(scene.model) as model:
        before, patches = processors(model), (PerturbedLayers(("up_blocks",)),)
        predicted(scene, led(scene, scene.guide(scene.positive, scene.negative)), FIRST)
        assert processors(model) == before
        with pytest.raises(ZeroDivisionError), scene.context.weights(scene.model, patches=patches):
            assert processors(model) != before
            raise ZeroDivisionError
        assert processors(model) == before


def test_runs_under_one_perturbation_enter_it_once(scene: Scene) -> None:
    guide, size = led(scene, scene.guide(scene.positive, scene.negative)), scene.call(EmptyLatent, width=64, height=64)
    with scene.context.weights(scene.model) as model:
        plain = [*model.network.attn_processors.values()]
    found = []
    for seed in range(3):
        scene.call(KSampler, guide=guide, latent=size, seed=seed, steps=2)
        found.append([*model.network.attn_processors.values()])
    assert all(one is other for later in found[1:] for one, other in zip(found[0], later, strict=True))
    assert any(one is not other for one, other in zip(found[0], plain, strict=True))
    with scene.context.weights(scene.model) as model:
        assert all(one is other for one, other in zip(model.network.attn_processors.values(), plain, strict=True))


@pytest.mark.parametrize(("scale", "expected"), [(4.0, [3, 1]), (1.0, [2, 1])])
def test_all_sides_are_one_batch_and_where_guidance_is_off_one_is_asked(
    scene: Scene, scale: float, expected: list[int]
) -> None:
    seen: list[int] = []
    with scene.context.weights(scene.model) as model:
        hook = model.network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
        predicted(scene, led(scene, scene.guide(scene.positive, scene.negative, scale, end=0.5)), FIRST, SECOND)
        hook.remove()
    assert seen == expected


def test_guidance_goes_by_a_middle_prompt_with_a_scale_each_way(scene: Scene) -> None:
    guide = scene.guide(scene.positive, scene.negative, 3.0)
    loaded = scene.call(LoadCheckpoint, source="epsilon")
    middle = scene.call(TextEncode, text_encoder=loaded.text_encoder, text="a lake")
    made = scene.call(MiddlePromptGuide, guide=guide, prompt=middle, scale=2.0)
    alone = [scene.guide(one, None, 1.0) for one in (scene.negative, middle, scene.positive)]
    away, between, towards = (predicted(scene, one, FIRST)[0] for one in alone)
    expected = away + 2 * (between - away) + 3 * (towards - between)
    assert torch.allclose(predicted(scene, made, FIRST)[0], expected, atol=1e-5)
    with refused("wrong-guide"):
        scene.call(MiddlePromptGuide, guide=alone[2], prompt=middle)
    with refused("wrong-guide"):
        predicted(scene, projected(scene, made), FIRST)


def test_a_window_is_predicted_alone_and_weighs_less_towards_edges_inside_of_the_picture(scene: Scene) -> None:
    window = scene.call(PromptWindow, prompt=scene.negative, left=24, top=0, width=64, height=64, strength=2.0)
    both = scene.call(CombinePrompts, prompts=[scene.positive, window])
    found = predicted(scene, scene.guide(both, None, 1.0), FIRST)[0]
    (whole,) = predicted(scene, scene.guide(scene.positive, None, 1.0), FIRST)
    seen = NOISE[..., :, 3:]
    with scene.context.weights(scene.model) as model:
        (prompt,) = scene.negative.prompts
        conditions = model.conditions(prompt, SIZE, False)
        alone = model.predict(seen, TIME, {name: one.repeat(len(seen), 1, 1) for name, one in conditions.items()})
    weight = 2 * torch.tensor([(place + 1) / 8 for place in range(NOISE.shape[-1] - 3)]).clamp(max=1)
    expected = whole.clone()
    expected[..., 3:] = (whole[..., 3:] + weight * alone) / (1 + weight)
    assert torch.allclose(found, expected, atol=1e-5) and not torch.allclose(found, whole, atol=1e-3)
    wide = NOISE.shape[-1]
    sides = {"left": 3 / wide, "width": 1 - 3 / wide, "height": 1.0}
    shared = scene.call(PromptWindowShare, prompt=scene.negative, **sides, strength=2.0)
    both = scene.call(CombinePrompts, prompts=[scene.positive, shared])
    assert torch.equal(predicted(scene, scene.guide(both, None, 1.0), FIRST)[0], found)
    with refused("conflicting-inputs"):
        steered = scene.call(PromptWindow, prompt=scene.steered_positive, width=32, height=32)
        predicted(scene, scene.guide(steered, None, 1.0), FIRST)
    with refused("out-of-range"):
        beyond = scene.call(PromptWindow, prompt=scene.positive, left=640, width=32, height=32)
        predicted(scene, scene.guide(beyond, None, 1.0), FIRST)


def test_perturbed_attention_adds_to_guidance_what_it_adds_alone(scene: Scene) -> None:
    both, alone = (scene.guide(scene.positive, scene.negative, scale) for scale in (4.0, 1.0))
    (plain,), (positive,) = predicted(scene, both, FIRST), predicted(scene, alone, FIRST)
    (added,), (away,) = predicted(scene, led(scene, both), FIRST), predicted(scene, led(scene, alone), FIRST)
    assert torch.allclose(added - plain, away - positive, atol=1e-5) and not torch.allclose(added, plain, atol=1e-3)
    assert torch.equal(predicted(scene, led(scene, both, 0.0), FIRST)[0], plain)


def test_what_both_lead_to_is_rescaled(scene: Scene) -> None:
    def both(rescale: float) -> Tensor:
        guide = scene.guide(scene.positive, scene.negative, rescale=rescale)
        return predicted(scene, led(scene, projected(scene, guide)), FIRST)[0]

    rescaled: Any = rescale_noise_cfg
    positive = scene.predict(scene.positive, scene.negative, 1.0)
    assert torch.allclose(both(0.7), rescaled(both(0.0), positive, guidance_rescale=0.7), atol=1e-6)


def test_a_distilled_model_is_rescaled_under_perturbed_attention_alone(scene: Scene) -> None:
    distilled = replace(scene, model=scene.call(LoadCheckpoint, source="distilled").model)

    def differs(perturbed: float) -> bool:
        guides = (distilled.guide(scene.positive, scene.negative, rescale=rescale) for rescale in (0.0, 0.7))
        plain, rescaled = (predicted(distilled, led(distilled, guide, perturbed), FIRST)[0] for guide in guides)
        return not torch.equal(plain, rescaled)

    assert (differs(0.0), differs(3.0)) == (False, True)


def test_a_run_does_not_remember_another(scene: Scene) -> None:
    guide = projected(scene, scene.guide(scene.positive, scene.negative), momentum=0.8, norm_threshold=0.0)
    first, second = predicted(scene, guide, FIRST, SECOND)
    assert torch.equal(predicted(scene, guide, FIRST)[0], first)
    assert not torch.allclose(predicted(scene, guide, SECOND)[0], second, atol=1e-3)


def test_steps_without_guidance_are_not_remembered(scene: Scene) -> None:
    guide = projected(scene, scene.guide(scene.positive, scene.negative, start=0.5), momentum=0.8)
    assert torch.equal(predicted(scene, guide, FIRST, SECOND)[1], predicted(scene, guide, SECOND)[0])


def test_projection_that_keeps_all_is_plain_guidance(scene: Scene) -> None:
    guide = scene.guide(scene.positive, scene.negative)
    kept = projected(scene, guide, eta=1.0, norm_threshold=0.0, momentum=0.0)
    assert torch.allclose(predicted(scene, kept, FIRST)[0], predicted(scene, guide, FIRST)[0], atol=1e-5)


def test_at_scale_1_there_is_nothing_to_project(scene: Scene) -> None:
    guide = scene.guide(scene.positive, scene.negative, 1.0)
    assert torch.equal(predicted(scene, projected(scene, guide), FIRST)[0], predicted(scene, guide, FIRST)[0])


def test_a_style_acts_on_the_positive_prompt_perturbed_or_not(scene: Scene) -> None:
    net = scene.call(LoadControlNet, source="style")
    picture = Image(torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0)))
    given = {"positive": scene.positive, "negative": scene.negative, "control_net": net, "image": picture}
    guide = led(scene, scene.guide(*scene.call(ApplyControlNet, **given)))
    with scene.context.weights(scene.model) as model, guided(guide, model, SIZE, scene.context) as denoiser:
        assert [one.controls for one in denoiser.prompts] == [(), (0,), (0,)]
