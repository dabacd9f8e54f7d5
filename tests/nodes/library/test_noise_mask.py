"""A noise mask on latents: which part samplers repaint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Pictures
from torch import Tensor

from tests.nodes.oracle import NEGATIVE, PROMPT, SEED, SIZE, STEPS
from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import (
    BatchLatents,
    CFGGuide,
    CropLatent,
    EmptyLatent,
    FlipLatent,
    ImageToMask,
    KSampler,
    KSamplerBatch,
    Latent,
    LoadCheckpoint,
    LoadImage,
    MakeSigmas,
    Mask,
    NoiseMask,
    RepeatLatent,
    RotateLatent,
    SaveImage,
    ScaleLatent,
    SetNoiseMask,
    SplitSigmas,
    TakeLatents,
    TextEncode,
    VAEDecode,
    VAEEncode,
)

MODES = ("hard", "soft", "differential")


@pytest.fixture(scope="module")
def ramp() -> Mask:
    """From 0 on the left to 1 on the right."""
    return Mask(torch.linspace(0, 1, SIZE).repeat(1, SIZE, 1))


@pytest.fixture(scope="module")
def guide(call: Any) -> Any:
    checkpoint = call(LoadCheckpoint, source="epsilon")
    prompts = [call(TextEncode, text_encoder=checkpoint.text_encoder, text=text) for text in (PROMPT, NEGATIVE)]
    return call(CFGGuide, model=checkpoint.model, positive=prompts[0], negative=prompts[1])


@pytest.fixture(scope="module")
def source(call: Any) -> Latent[Any]:
    vae = call(LoadCheckpoint, source="epsilon").vae
    latent: Latent[Any] = call(VAEEncode, vae=vae, image=call(LoadImage, path="ramp.png"))
    return latent


@pytest.fixture
def sample(call: Any, guide: Any) -> Any:
    """Sample latents, five steps."""

    def run(latent: Latent[Any], **given: Any) -> Latent[Any]:
        options = {"seed": SEED, "steps": STEPS, "sampler": "euler", **given}
        sampled: Latent[Any] = call(KSampler, guide=guide, latent=latent, **options)
        return sampled

    return run


def samples(latent: Latent[Any]) -> Tensor:
    assert latent.samples is not None
    return latent.samples


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_a_run_in_two_stages_keeps_the_same_part(
    call: Any, sample: Any, source: Any, ramp: Mask, mode: str, sampler: str
) -> None:
    """Whatever the seed of the second."""
    latent = call(SetNoiseMask, latent=source, mask=ramp, mode=mode)
    first = sample(latent, sampler=sampler, end_step=3)
    second = sample(first, sampler=sampler, start_step=3, add_noise=False, seed=1)
    assert first.mask is not None and second.mask is None
    assert torch.allclose(samples(second), samples(sample(latent, sampler=sampler)), atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_noise_that_is_taken_out_leaves_no_mask(call: Any, sample: Any, source: Any, ramp: Mask, mode: str) -> None:
    latent = call(SetNoiseMask, latent=source, mask=ramp, mode=mode)
    early = sample(latent, end_step=2, keep_noise=False)
    assert early.mask is None
    assert torch.equal(samples(early)[..., 0], samples(source)[..., 0])
    assert not torch.equal(samples(early)[..., -1], samples(source)[..., -1])


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_a_list_of_sigmas_is_walked_as_the_schedule_is(
    call: Any, sample: Any, source: Any, guide: Any, ramp: Mask, mode: str
) -> None:
    latent = call(SetNoiseMask, latent=source, mask=ramp, mode=mode)
    sigmas = call(MakeSigmas, model=guide.model, schedule="karras", steps=STEPS)
    after = call(SplitSigmas, sigmas=sigmas, step=1).after
    by_sigmas = call(KSampler, guide=guide, latent=latent, sigmas=after, seed=SEED, sampler="euler")
    scheduled = samples(sample(latent, schedule="karras", start_step=1))
    assert torch.allclose(samples(by_sigmas), scheduled, atol=0.02 * float(scheduled.std()))


def test_full_coverage_is_image_to_image(call: Any, sample: Any, source: Any) -> None:
    covered = Mask(torch.ones(1, SIZE, SIZE))
    plain = samples(sample(source, denoise=0.8))
    for mode in MODES:
        assert torch.equal(
            samples(sample(call(SetNoiseMask, latent=source, mask=covered, mode=mode), denoise=0.8)), plain
        )


def test_no_coverage_leaves_latents_as_they_are(call: Any, sample: Any, source: Any) -> None:
    nothing = Mask(torch.zeros(1, SIZE, SIZE))
    for mode in MODES:
        latent = call(SetNoiseMask, latent=source, mask=nothing, mode=mode)
        assert torch.equal(samples(sample(latent)), samples(source))


def test_each_item_has_its_mask(call: Any, sample: Any, source: Any, ramp: Mask) -> None:
    both = Latent(SIZE, SIZE, 2, samples(source).repeat(2, 1, 1, 1))
    masks = Mask(torch.cat([ramp.coverage, ramp.coverage.flip(2)]))
    together = samples(sample(call(SetNoiseMask, latent=both, mask=masks)))
    for item in range(2):
        own = call(SetNoiseMask, latent=source, mask=Mask(masks.coverage[item : item + 1]))
        assert torch.allclose(together[item], samples(sample(own, seed=SEED + item))[0], atol=1e-4)


def test_calls_share_a_batch_with_masks(call: Any, guide: Any, sample: Any, source: Any, ramp: Mask) -> None:
    """Also where the runs go on, with what is kept; a call without a mask is sampled by itself."""
    latents = [call(SetNoiseMask, latent=source, mask=Mask(one)) for one in (ramp.coverage, ramp.coverage.flip(2))]
    latents.append(source)
    given = {"guide": [guide] * 3, "latent": latents, "seed": [3, 4, 5], "steps": STEPS, "end_step": 3}
    found = call(KSamplerBatch, **given, sampler="euler")
    for latent, seed, one in zip(latents, given["seed"], found, strict=True):  # type: ignore[call-overload]
        alone = sample(latent, seed=seed, end_step=3)
        assert torch.allclose(samples(one), samples(alone), atol=1e-4)
        assert (one.mask is None) == (alone.mask is None)
        if one.mask:
            assert torch.equal(one.mask.source, alone.mask.source) and torch.equal(one.mask.noise, alone.mask.noise)
            assert torch.equal(one.mask.coverage, alone.mask.coverage)


def test_a_size_alone_has_nothing_to_keep(engine: Engine, call: Any, ramp: Mask, guide: Any) -> None:
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        latent = SetNoiseMask(EmptyLatent(SIZE, SIZE), ImageToMask(LoadImage("stripes.png")))
        guided = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, PROMPT))
        SaveImage(VAEDecode(checkpoint.vae, KSampler(guided, latent)))
    assert [(one.code, one.node, one.input) for one in engine.check(graph).problems] == [
        ("empty-latent", "set_noise_mask", "latent")
    ]
    empty = call(SetNoiseMask, latent=Latent(SIZE, SIZE, 1), mask=ramp)
    with refused("empty-latent"):
        call(KSampler, guide=guide, latent=empty)


@pytest.mark.parametrize(
    ("shape", "code"), [((1, SIZE, SIZE - 8), "size-mismatch"), ((3, SIZE, SIZE), "batch-mismatch")]
)
def test_a_mask_that_does_not_fit_is_refused(call: Any, source: Any, shape: tuple[int, ...], code: str) -> None:
    with refused(code):
        call(SetNoiseMask, latent=source, mask=Mask(torch.zeros(shape)))
    with refused(code):
        Latent(SIZE, SIZE, 1, samples(source), NoiseMask(torch.zeros(shape))).check_value()


def test_a_mask_of_another_size_is_found_before_a_run(engine: Engine, pictures: Path) -> None:
    Pictures.new("L", (SIZE, SIZE - 8), 255).save(pictures / "low.png")
    with Graph() as graph:
        vae = LoadCheckpoint("epsilon").vae
        latent = SetNoiseMask(VAEEncode(vae, LoadImage("ramp.png")), ImageToMask(LoadImage("low.png")))
        SaveImage(VAEDecode(vae, latent))
    found = [(one.code, one.node, one.input) for one in engine.check(graph).problems]
    assert found == [("size-mismatch", "set_noise_mask", "mask")]


def test_one_generator_has_one_seed(engine: Engine) -> None:
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        guided = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, PROMPT))
        latent = KSampler(guided, EmptyLatent(SIZE, SIZE, 2), seed=[1, 2], generator="batch")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    found = [(one.code, one.node, one.input) for one in engine.check(graph).problems]
    assert found == [("conflicting-inputs", "k_sampler", "seed")]


@pytest.mark.parametrize(
    ("type", "given"),
    [
        (FlipLatent, {"direction": "horizontal"}),
        (RotateLatent, {"degrees": "90"}),
        (CropLatent, {"x": 16, "y": 8, "width": 32, "height": 40}),
        (ScaleLatent, {"factor": 2.0, "method": "nearest"}),
        (RepeatLatent, {"times": 2}),
        (TakeLatents, {"first": 1, "count": 1}),
    ],
)
def test_a_mask_goes_with_its_latents(call: Any, type: Any, given: Any, ramp: Mask) -> None:
    """What is kept is marked by the mask before and after: samples are 1 where the mask covers them."""
    coverage = torch.cat([ramp.coverage, ramp.coverage.flip(2)]).round()
    samples = coverage[:, None, ::8, ::8].repeat(1, 4, 1, 1)
    mask = NoiseMask(coverage, source=samples, noise=samples)
    latent = call(type, latent=Latent(SIZE, SIZE, 2, samples, mask, deviation=samples), **given)
    latent.check_value()
    assert latent.mask and latent.samples is not None
    assert torch.equal(latent.mask.coverage[:, None, ::8, ::8].expand_as(latent.samples).round(), latent.samples)
    for other in (latent.mask.source, latent.mask.noise, latent.deviation):
        assert torch.equal(other, latent.samples)


def test_latents_with_masks_are_not_joined(call: Any, source: Any, ramp: Mask) -> None:
    masked = call(SetNoiseMask, latent=source, mask=ramp)
    with refused("conflicting-inputs"):
        call(BatchLatents, latents=[source, masked])
