"""Pictures that are sampled together equal the single ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.refusals import refused
from weft.nodes import (
    ApplyControlNet,
    CFGGuide,
    CombinePrompts,
    ConcatPrompts,
    EditGuide,
    EmptyLatent,
    Image,
    KSampler,
    KSamplerBatch,
    Latent,
    ListSigmas,
    LoadCheckpoint,
    LoadControlNet,
    Mask,
    PerturbedAttention,
    ProjectedGuidance,
    PromptMask,
    TextEncode,
    VAEDecode,
)
from weft.nodes.library.sampler_batch import sampled_together
from weft.nodes.sampling.samplers import SAMPLERS

Call = Callable[..., Any]

TEXTS = ("a house", "a lake at night, with snow", "")


def guides(call: Call, checkpoint: Any, texts: Sequence[str] = TEXTS, **options: Any) -> list[Any]:
    """A guide for each text."""
    encoded = (call(TextEncode, text_encoder=checkpoint.text_encoder, text=text) for text in texts)
    return [call(CFGGuide, model=checkpoint.model, positive=prompt, **options) for prompt in encoded]


def assert_same_alone(call: Call, vae: Any, guides: Sequence[Any], latents: Sequence[Any], **options: Any) -> None:
    """Sampled together and one by one, the pictures are the same within 1/255."""
    options = {"steps": 3, **options}
    seeds = [*range(7, 7 + len(guides))]
    together = call(KSamplerBatch, guide=[*guides], latent=[*latents], seed=seeds, **options)
    for guide, latent, seed, found in zip(guides, latents, seeds, together, strict=True):
        alone = call(KSampler, guide=guide, latent=latent, seed=seed, **options)
        assert found.batch_size == latent.batch_size == len(found.samples)
        one, other = (call(VAEDecode, vae=vae, latent=sampled).pixels for sampled in (alone, found))
        assert (one - other).abs().max() <= 1 / 255


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler_ancestral"])
@pytest.mark.parametrize("model", ["epsilon", "sdxl"])
def test_texts_and_seeds_go_together(call: Call, zoo: Any, model: str, sampler: str) -> None:
    checkpoint = call(LoadCheckpoint, source=model if model == "epsilon" else zoo(model))
    assert_same_alone(call, checkpoint.vae, guides(call, checkpoint), [EmptyLatent(64, 64)] * 3, sampler=sampler)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_keeps_items_apart(call: Call, sampler: str) -> None:
    checkpoint = call(LoadCheckpoint, source="epsilon")
    assert_same_alone(call, checkpoint.vae, guides(call, checkpoint), [EmptyLatent(64, 64)] * 3, sampler=sampler)


def test_samplers_over_sigmas_keep_items_apart(call: Call) -> None:
    checkpoint, levels = call(LoadCheckpoint, source="epsilon"), call(ListSigmas, levels=[14.0, 5.0, 1.0, 0.0])
    for sampler in ("dpmpp_2m", "euler_ancestral"):
        given = {"sigmas": levels, "sampler": sampler, "steps": 20}
        assert_same_alone(call, checkpoint.vae, guides(call, checkpoint), [EmptyLatent(64, 64)] * 3, **given)


OTHERS = ("sd2", "sd-turbo", "sdxl-turbo", "sdxl-lcm", "sd3", "sd35", "sd3-short", "flux-schnell")


@pytest.mark.parametrize("model", ["flux-dev", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_every_family_goes_together(call: Call, zoo: Any, model: str) -> None:
    checkpoint = call(LoadCheckpoint, source=zoo(model))
    guided = guides(call, checkpoint, scale=1.0 if model == "flux-schnell" else 3.5)
    assert_same_alone(call, checkpoint.vae, guided, [EmptyLatent(64, 64)] * 3, sampler="model")


@pytest.mark.parametrize("model", ["dit", pytest.param("consistency-classes", marks=pytest.mark.slow)])
def test_classes_go_together(call: Call, zoo: Any, model: str) -> None:
    checkpoint = call(LoadCheckpoint, source=zoo(model))
    guided = guides(call, checkpoint, ["1", "2", "3"], scale=1.0)
    assert_same_alone(call, checkpoint.vae, guided, [EmptyLatent(32, 32)] * 3, sampler="model")


def test_pictures_to_edit_go_together(call: Call, zoo: Any) -> None:
    checkpoint = call(LoadCheckpoint, source=zoo("edit"))
    seen = [
        call(EditGuide, guide=guide, vae=checkpoint.vae, image=Image(torch.rand(1, 64, 64, 3)))
        for guide in guides(call, checkpoint)
    ]
    assert_same_alone(call, checkpoint.vae, seen, [EmptyLatent(64, 64)] * 3)


def test_what_changes_guidance_and_where_prompts_act_goes_along(call: Call) -> None:
    checkpoint, latents = call(LoadCheckpoint, source="epsilon"), [EmptyLatent(64, 64)] * 3
    plain = guides(call, checkpoint)
    for type in (PerturbedAttention, ProjectedGuidance):
        assert_same_alone(call, checkpoint.vae, [call(type, guide=guide) for guide in plain], latents)
    masked = [
        call(PromptMask, prompt=guide.positive, mask=Mask(torch.rand(1, 64, 64)), strength=2.0) for guide in plain
    ]
    both = [call(CombinePrompts, prompts=[guide.positive, mask]) for guide, mask in zip(plain, masked, strict=True)]
    combined = [replace(guide, positive=prompt) for guide, prompt in zip(plain, both, strict=True)]
    assert_same_alone(call, checkpoint.vae, combined, latents)


def test_control_nets_see_each_its_picture(call: Call) -> None:
    checkpoint, net = call(LoadCheckpoint, source="epsilon"), call(LoadControlNet, source="edges")
    found = []
    for guide in guides(call, checkpoint):
        given = {"positive": guide.positive, "negative": guide.negative, "control_net": net}
        prompts = call(ApplyControlNet, **given, image=Image(torch.rand(1, 64, 64, 3)))
        found.append(replace(guide, positive=prompts.positive, negative=prompts.negative))
    assert_same_alone(call, checkpoint.vae, found, [EmptyLatent(64, 64)] * 3, sampler="euler_ancestral")


def test_what_does_not_fit_is_sampled_by_itself(call: Call) -> None:
    checkpoint = call(LoadCheckpoint, source="epsilon")
    long = guides(call, checkpoint)[0]
    prompt = call(ConcatPrompts, prompts=[long.positive, long.positive])
    mixed = [
        *guides(call, checkpoint),
        *guides(call, checkpoint, ["a house"], scale=2.0),
        replace(long, positive=prompt),
    ]
    sizes = [EmptyLatent(64, 64), EmptyLatent(64, 32), *[EmptyLatent(64, 64)] * 3]
    assert_same_alone(call, checkpoint.vae, mixed, sizes)


def test_batches_and_pictures_to_start_from_go_together(call: Call) -> None:
    checkpoint = call(LoadCheckpoint, source="epsilon")
    assert_same_alone(call, checkpoint.vae, guides(call, checkpoint), [EmptyLatent(64, 64, size) for size in (2, 1, 3)])
    starts = [Latent[Any](64, 64, 1, torch.randn(1, 4, 8, 8)) for _ in range(3)]
    assert_same_alone(call, checkpoint.vae, guides(call, checkpoint), starts, denoise=0.7)


def test_what_fits_goes_through_the_model_once(call: Call) -> None:
    checkpoint = call(LoadCheckpoint, source="epsilon")
    latents = [EmptyLatent(64, 64), EmptyLatent(64, 32), EmptyLatent(64, 64, 2)]
    calls = [{"guide": guides(call, checkpoint, ["a"])[0], "latent": one, "seed": 3, "steps": 2} for one in latents]
    seen: list[tuple[int, list[int]]] = []

    def sample(latent: Latent[Any], seed: list[int], **_: Any) -> Latent[Any]:
        seen.append((latent.height, seed))
        return replace(latent, samples=torch.arange(latent.batch_size).reshape(-1, 1, 1, 1))

    found = sampled_together(sample, calls)
    assert seen == [(64, [3, 3, 4]), (32, [3])]
    assert [one.samples.flatten().tolist() for one in found if one.samples is not None] == [[0], [0], [1, 2]]


def test_seeds_belong_to_their_own_call(call: Call) -> None:
    checkpoint = call(LoadCheckpoint, source="epsilon")
    given = {"guide": guides(call, checkpoint)[:2], "latent": [EmptyLatent(64, 64, 2), EmptyLatent(64, 64)]}
    first, second = call(KSamplerBatch, **given, seed=[[5, 9], 9], steps=2)
    assert first.batch_size == 2 and second.batch_size == 1
    with refused("batch-mismatch", 1, 2):
        call(KSamplerBatch, **given, seed=[[5], [9, 9]], steps=2)
