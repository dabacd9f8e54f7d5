"""A run by a diffusers scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.refusals import refused
from weft.engine import Cancelled
from weft.nodes.models.parametrisation import parametrisation_of
from weft.nodes.sampling.noise import generators_for
from weft.nodes.sampling.samplers import SAMPLERS, SamplerName, ScheduleName
from weft.nodes.sampling.sampling_run import Position
from weft.nodes.sampling.scheduler_run import SchedulerRun, make_scheduler

CONFIG = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "skip_prk_steps": True,
    "clip_sample": False,
}
PAIRS = [(name, schedule) for name, row in SAMPLERS.items() for schedule in row.schedules if schedule != "ays"]
SHAPE = (4, 2, 2)


def run_of(
    sampler: SamplerName = "euler",
    schedule: ScheduleName = "model",
    config: Mapping[str, Any] = CONFIG,
    **options: Any,
) -> SchedulerRun:
    given: dict[str, Any] = {"steps": 5, "generators": generators_for([1, 2]), **options}
    scheduler = make_scheduler(config, sampler, schedule, given["steps"])
    return SchedulerRun(scheduler, parametrisation_of(config), **given)


def half(latents: Tensor, timestep: Tensor, position: Position) -> Tensor:
    """A model that says that half of what it sees is noise."""
    return latents / 2


def silent(step: int, steps: int, denoised: Any) -> None:
    """Progress that nobody listens to."""


@pytest.mark.wide
@pytest.mark.parametrize("steps", [1, 2, 40])
@pytest.mark.parametrize(("sampler", "schedule"), PAIRS)
def test_any_number_of_steps_ends_in_numbers(sampler: SamplerName, schedule: ScheduleName, steps: int) -> None:
    """40 steps of the beta schedule begin with a timestep twice, where counting by timestep would lose the way."""
    run = run_of(sampler, schedule, steps=steps)
    samples = run.sample(half, run.from_noise(run.draw(SHAPE)), silent)
    assert samples.shape == (2, *SHAPE)
    assert samples.isfinite().all()


@pytest.mark.wide
@pytest.mark.parametrize(("sampler", "schedule"), PAIRS)
def test_a_clip_is_walked_as_its_frames_are(sampler: SamplerName, schedule: ScheduleName) -> None:
    """Samplers that draw noise have it drawn for a clip as a whole, so these only end in numbers."""
    start = torch.randn(2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    clip = run_of(sampler, schedule).sample(half, start, silent)
    frame = run_of(sampler, schedule).sample(half, start[:, :, 1].contiguous(), silent)
    drawn = "generator" in run_of(sampler, schedule).step_options
    assert clip.shape == start.shape and clip.isfinite().all()
    assert drawn or torch.allclose(clip[:, :, 1], frame, atol=1e-5)


def test_progress_counts_steps_not_predictions() -> None:
    seen: list[tuple[int, int]] = []
    run = run_of("heun", steps=3)
    run.sample(half, run.from_noise(run.draw(SHAPE)), lambda step, steps, _: seen.append((step, steps)))
    assert seen == [(1, 3), (1, 3), (2, 3), (2, 3), (3, 3)]


def test_an_exception_of_progress_ends_the_run() -> None:
    def cancel(step: int, steps: int, denoised: Any) -> None:
        raise Cancelled("enough")

    run = run_of()
    with pytest.raises(Cancelled):
        run.sample(half, run.from_noise(run.draw(SHAPE)), cancel)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("sampler", ["ddim", "euler", "dpmpp_2m", "heun"])
def test_a_perfect_prediction_is_seen_through(sampler: SamplerName, prediction: str) -> None:
    """Latents under known noise: the noise, the velocity and the latents themselves all lead back to the latents."""
    run = run_of(sampler, config={**CONFIG, "prediction_type": prediction})
    clean, timestep = torch.randn(2, *SHAPE), run.timesteps[2]
    noise = torch.randn(2, *SHAPE)
    alpha = run.scheduler.alphas_cumprod[round(float(timestep))].sqrt()
    sigma = (1 - alpha**2).sqrt()
    right = {"epsilon": noise, "v_prediction": alpha * noise - sigma * clean, "sample": clean}[prediction]
    assert torch.allclose(run.denoised(right, timestep, alpha * clean + sigma * noise), clean, atol=1e-4)


ENDING_IN_NOISE = "dpmsolver_2m_sde"
"""It draws noise in its last step, which ends at the lowest level of the training."""


@pytest.mark.wide
@pytest.mark.parametrize(("sampler", "schedule"), [pair for pair in PAIRS if pair[0] != ENDING_IN_NOISE])
def test_what_the_last_step_is_denoised_to_is_what_comes_out(sampler: SamplerName, schedule: ScheduleName) -> None:
    seen: list[Tensor] = []
    run = run_of(sampler, schedule, steps=20)
    samples = run.sample(half, run.from_noise(run.draw(SHAPE)), lambda step, steps, denoised: seen.append(denoised()))
    assert (seen[-1] - samples).abs().max() < 0.1 * samples.abs().max()


def test_steps_at_the_beginning_are_left_out() -> None:
    whole, part = run_of("heun", steps=10), run_of("heun", steps=10, start_step=7)
    assert part.skipped == 14
    assert torch.equal(part.timesteps, whole.timesteps[14:])


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_a_run_in_two_parts_is_the_whole_run(sampler: SamplerName) -> None:
    whole, first = run_of(sampler, steps=6), run_of(sampler, steps=6, end_step=4)
    second = run_of(sampler, steps=6, start_step=4)
    noise = whole.from_noise(whole.draw(SHAPE))
    parted = second.sample(half, first.sample(half, noise, silent), silent)
    assert torch.allclose(parted, whole.sample(half, noise, silent), atol=1e-5)


def test_noise_that_is_not_kept_is_taken_out() -> None:
    """By the last prediction."""
    seen: list[Tensor] = []
    run = run_of(steps=6, end_step=3)
    noise = run.from_noise(run.draw(SHAPE))
    samples = run.sample(half, noise, lambda _, __, denoised: seen.append(denoised()), keep_noise=False)
    assert len(seen) == 3 and torch.equal(samples, seen[-1])


def test_latents_stay_as_they_are_where_no_step_is_left() -> None:
    run, latents = run_of(steps=10, start_step=10), torch.ones(2, *SHAPE)
    assert run.sample(half, run.from_latents(latents, run.draw(SHAPE)), silent) is latents


def test_noise_is_one_generator_an_item() -> None:
    both = run_of().draw(SHAPE)
    second = run_of(generators=generators_for([2])).draw(SHAPE)
    assert torch.equal(both[1:], second)


def test_seeds_wrap_around() -> None:
    wrapped, zero = (generator.initial_seed() for generator in generators_for([2**64, 0]))
    assert wrapped == zero
    assert generators_for([2**64 - 1])[0].initial_seed() % 2**64 == 2**64 - 1


def test_more_steps_than_a_scheduler_can_do_are_refused() -> None:
    with refused("too-many-steps", "LCMScheduler", 60):
        run_of("lcm", steps=60)


def test_a_prediction_that_a_sampler_does_not_understand_is_refused() -> None:
    with refused("sampler-cannot-follow", "dpm2", "sample", "ddim"):
        make_scheduler({**CONFIG, "prediction_type": "sample"}, "dpm2", "model")


def test_a_model_of_edm_names_the_samplers_that_can_follow_it() -> None:
    with refused("sampler-cannot-follow", "ddim", "EDM", "euler, dpmpp_2m, dpmpp_2m_sde, dpmpp_3m"):
        make_scheduler({"_class_name": "EDMEulerScheduler"}, "ddim", "model")


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_what_a_model_of_edm_finds_is_what_the_last_step_leaves(prediction: str) -> None:
    seen: list[Tensor] = []
    config = {"_class_name": "EDMEulerScheduler", "prediction_type": prediction}
    run = run_of(config=config, steps=6)
    samples = run.sample(half, run.from_noise(run.draw(SHAPE)), lambda step, steps, denoised: seen.append(denoised()))
    assert torch.allclose(seen[-1], samples, rtol=1e-3)


@given(count=st.integers(1, 50), start=st.floats(0, 1), end=st.floats(0, 1))
def test_positions_lie_within_the_fractions_as_diffusers_counts(count: int, start: float, end: float) -> None:
    for index in range(count):
        kept = 1.0 - float(index / count < start or (index + 1) / count > end)
        assert Position(index, count).within(start, end) == bool(kept)
