"""Noise as a value: what is drawn is what a sampler draws, and a mixture is noise of the same strength."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.nodes.oracle import CLASSES, diffusers
from tests.refusals import refused
from weft.engine import Engine, Graph, Link
from weft.nodes import (
    AddNoise,
    CFGGuide,
    DrawNoise,
    EmptyLatent,
    KSampler,
    KSamplerSteps,
    Latent,
    ListSigmas,
    LoadCheckpoint,
    MakeLatent,
    MixNoise,
    Noise,
    TextEncode,
)

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def guide(call: Call) -> Any:
    checkpoint = call(LoadCheckpoint, source="epsilon")
    prompt = call(TextEncode, text_encoder=checkpoint.text_encoder, text="a lake")
    return call(CFGGuide, model=checkpoint.model, positive=prompt, scale=1.0)


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "ddim"])
def test_drawn_noise_is_what_a_sampler_draws(call: Call, guide: Any, sampler: str) -> None:
    size = EmptyLatent(64, 64, 2)
    noise = call(DrawNoise, model=guide.model, latent=size, seed=5)
    given = call(KSampler, guide=guide, latent=size, noise=noise, seed=5, steps=2, sampler=sampler)
    drawn = call(KSampler, guide=guide, latent=size, seed=5, steps=2, sampler=sampler)
    assert torch.equal(given.samples, drawn.samples)
    assert torch.equal(noise.samples[1], torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(6)))


def test_a_picture_is_put_under_the_noise_that_is_given(call: Call, guide: Any) -> None:
    clean = Latent[Any](64, 64, 1, torch.randn(1, 4, 8, 8))
    noise = call(DrawNoise, model=guide.model, latent=clean, seed=3)
    settings = {"steps": 4, "denoise": 0.5, "sampler": "dpmpp_2m"}
    drawn = call(KSampler, guide=guide, latent=clean, seed=3, **settings)
    other = call(KSampler, guide=guide, latent=clean, noise=noise, seed=4, **settings)
    assert torch.equal(drawn.samples, other.samples)


@pytest.mark.parametrize("method", ["angle", "variance"])
@pytest.mark.parametrize("amount", [0.0, 0.3, 1.0])
def test_a_mixture_has_unit_variance(method: str, amount: float) -> None:
    first, second = (torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(one)) for one in (1, 2))
    mixed = MixNoise(Noise(first), Noise(second), amount=amount, method=method).samples  # type: ignore[arg-type]
    assert float(mixed.std()) == pytest.approx(1, abs=0.02)
    cosine = float((mixed * second).mean() / second.square().mean().sqrt() / mixed.square().mean().sqrt())
    share = {"angle": torch.sin(torch.tensor(amount * torch.pi / 2)), "variance": torch.tensor(amount).sqrt()}[method]
    assert cosine == pytest.approx(float(share), abs=0.02)


def test_noise_of_another_shape_is_refused(call: Call, guide: Any) -> None:
    noise = Noise[Any](torch.randn(1, 4, 8, 8))
    with refused("size-mismatch"):
        call(KSampler, guide=guide, latent=EmptyLatent(64, 64, 2), noise=noise, steps=2)
    with refused("size-mismatch"):
        MixNoise(noise, Noise(torch.randn(1, 4, 8, 4)))


@pytest.mark.parametrize("sampler", ["ddpm", "euler", "dpmpp_2m", "lcm"])
def test_noise_is_added_as_by_the_scheduler_of_diffusers(call: Call, guide: Any, models: Any, sampler: str) -> None:
    clean = Latent[Any](64, 64, 2, torch.randn(2, 4, 8, 8))
    noise = call(DrawNoise, model=guide.model, latent=clean, seed=1)
    noisy = call(AddNoise, model=guide.model, latent=clean, noise=noise, steps=5, step=2, sampler=sampler)
    name, options = CLASSES[sampler]
    config = diffusers.PNDMScheduler.load_config(models / "epsilon" / "scheduler")
    scheduler = getattr(diffusers, name).from_config(config, **options)
    scheduler.set_timesteps(5)
    expected = scheduler.add_noise(clean.samples, noise.samples, scheduler.timesteps[2:3].repeat(2))
    assert torch.allclose(noisy.samples, expected, atol=1e-6)


def test_a_run_goes_on_from_added_noise(call: Call, guide: Any) -> None:
    clean = Latent[Any](64, 64, 1, torch.randn(1, 4, 8, 8))
    noise = call(DrawNoise, model=guide.model, latent=clean, seed=3)
    noisy = call(AddNoise, model=guide.model, latent=clean, noise=noise, steps=4, step=2, sampler="euler")
    settings = {"guide": guide, "steps": 4, "sampler": "euler", "seed": 3}
    went_on = call(KSampler, latent=noisy, start_step=2, add_noise=False, **settings)
    at_once = call(KSampler, latent=clean, denoise=0.5, **settings)
    assert torch.allclose(went_on.samples, at_once.samples, atol=1e-5)


@pytest.mark.parametrize("timestep", [0, 500, 999])
def test_the_forward_process_is_that_of_ddpm(call: Call, guide: Any, models: Any, timestep: int) -> None:
    clean = Latent[Any](64, 64, 1, torch.randn(1, 4, 8, 8))
    noise = call(DrawNoise, model=guide.model, latent=clean)
    noisy = call(AddNoise, model=guide.model, latent=clean, noise=noise, timestep=float(timestep))
    scheduler = diffusers.DDPMScheduler.from_pretrained(models / "epsilon" / "scheduler")
    expected = scheduler.add_noise(clean.samples, noise.samples, torch.tensor([timestep]))
    assert torch.allclose(noisy.samples, expected, atol=1e-6)


def test_noise_of_sigmas_is_that_of_their_first(call: Call, guide: Any) -> None:
    clean = Latent[Any](64, 64, 1, torch.randn(1, 4, 8, 8))
    noise = call(DrawNoise, model=guide.model, latent=clean)
    sigmas = ListSigmas([2.0, 1.0, 0.0])
    noisy = call(AddNoise, model=guide.model, latent=clean, noise=noise, sigmas=sigmas)
    assert torch.allclose(noisy.samples, clean.samples + 2 * noise.samples)


def test_a_step_and_a_timestep_conflict_at_the_check(engine: Engine) -> None:
    with Graph(outputs={"latent": Link("add_noise")}) as graph:
        model = LoadCheckpoint("epsilon").model
        clean = MakeLatent([0.0], width=64, height=64)
        AddNoise(model, clean, DrawNoise(model, clean), timestep=10.0, step=2)
    (problem,) = engine.check(graph).problems
    assert (problem.code, problem.input) == ("conflicting-inputs", "timestep")
    (problem,) = engine.check(graph.set("add_noise.timestep", None).set("add_noise.step", 20)).problems
    assert (problem.code, problem.input) == ("out-of-range", "step")
    graph = graph.set("add_noise.timestep", None).set("add_noise.step", 2)
    (problem,) = engine.check(graph.set("add_noise.sampler", "ddim").set("add_noise.schedule", "karras")).problems
    assert problem.code == "schedule-cannot-follow"


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m"])
def test_the_steps_of_a_run_are_those_of_shorter_runs(call: Call, guide: Any, sampler: str) -> None:
    settings = {"guide": guide, "latent": EmptyLatent(64, 64, 2), "seed": 5, "steps": 3, "sampler": sampler}
    whole, walked = call(KSampler, **settings), call(KSamplerSteps, **settings)
    assert len(walked.noisy) == len(walked.denoised) == 3
    assert torch.equal(walked.latent.samples, whole.samples) and torch.equal(walked.noisy[-1].samples, whole.samples)
    for at in (1, 2):
        noisy = call(KSampler, end_step=at, **settings).samples
        assert torch.equal(walked.noisy[at - 1].samples, noisy)
        denoised = call(KSampler, end_step=at, keep_noise=False, **settings).samples
        assert torch.equal(walked.denoised[at - 1].samples, denoised)


def test_steps_over_sigmas_are_recorded_too(call: Call, guide: Any) -> None:
    sigmas = ListSigmas([10.0, 3.0, 0.0])
    walked = call(KSamplerSteps, guide=guide, latent=EmptyLatent(64, 64), sigmas=sigmas, sampler="euler")
    assert len(walked.noisy) == 2 and torch.equal(walked.noisy[-1].samples, walked.denoised[-1].samples)


def test_a_reverse_step_of_ddpm_is_its_formula_with_drawn_noise(call: Call, guide: Any, models: Any) -> None:
    """Ho et al., "DDPM", 2020, algorithm 2: x_(t-1) is the mean plus sigma times the noise that DrawNoise draws."""
    steps, first = 10, 6
    noisy = Latent[Any](64, 64, 1, torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)))
    drawn = call(DrawNoise, model=guide.model, latent=noisy, seed=9).samples
    given = {"steps": steps, "sampler": "ddpm", "start_step": first, "end_step": first + 1, "clip": False}
    done = call(KSamplerSteps, guide=guide, latent=noisy, seed=9, add_noise=False, **given)
    scheduler = diffusers.DDPMScheduler.from_pretrained(models / "epsilon", subfolder="scheduler")
    scheduler.set_timesteps(steps)
    t, before = scheduler.timesteps[first], scheduler.timesteps[first + 1]
    bar, bar_before = (scheduler.alphas_cumprod[one] for one in (t, before))
    alpha, clean = bar / bar_before, done.denoised[0].samples
    of_clean, of_noisy = bar_before.sqrt() * (1 - alpha), alpha.sqrt() * (1 - bar_before)
    mean = (of_clean * clean + of_noisy * noisy.samples) / (1 - bar)
    sigma = ((1 - bar_before) / (1 - bar) * (1 - alpha)).sqrt()
    assert torch.allclose(done.latent.samples, mean + sigma * drawn, atol=1e-5)
