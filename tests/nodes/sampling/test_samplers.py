"""The table of samplers tells the truth about diffusers' classes."""

from __future__ import annotations

import inspect
import warnings
from typing import Any, get_args

import diffusers
import pytest
import torch

from weft.nodes.sampling.samplers import (
    EVERY_SCHEDULE,
    FRAME_FIRST_SCHEDULER,
    SAMPLERS,
    SCHEDULES,
    SIGMAS_ALONE,
    ZERO_SNR_SCHEDULERS,
    SamplerName,
    ScheduleName,
    samplers_for,
    samplers_of,
)
from weft.nodes.sampling.sigma_samplers import SIGMA_SAMPLERS

CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "timestep_spacing": "leading"}


OTHERWISE = ("lcm", "tcd", "ddim", "pndm")
"""LCM and TCD have the steps that they were distilled on; DDIM and PNDM miss the timesteps of `linspace`."""


def scheduler(sampler: SamplerName, schedule: ScheduleName, prediction: str = "epsilon") -> Any:
    row = SAMPLERS[sampler]
    options = {**row.options, **SCHEDULES[schedule]}
    with warnings.catch_warnings(action="ignore"):  # DPM-Solver is deprecated in diffusers.
        made = getattr(diffusers, row.scheduler).from_config({**CONFIG, "prediction_type": prediction}, **options)
    if schedule == "ays":
        made.set_timesteps(timesteps=[999, 850, 600, 400, 200, 24])
    else:
        made.set_timesteps(6)
    return made


def noise_levels(sampler: SamplerName, schedule: ScheduleName) -> list[float]:
    """The timesteps, and the sigmas of a scheduler that has some."""
    made = scheduler(sampler, schedule)
    return [*made.timesteps.tolist(), *getattr(made, "sigmas", torch.empty(0)).tolist()]


@pytest.mark.wide
@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in OTHERWISE])
def test_a_sampler_follows_the_schedules_it_claims_and_no_other(sampler: SamplerName) -> None:
    def levels(schedule: ScheduleName) -> list[float]:
        try:
            return noise_levels(sampler, schedule)
        except TypeError:  # It takes no list of timesteps.
            return own

    own = noise_levels(sampler, "model")
    changed = [name for name in EVERY_SCHEDULE if levels(name) != own]
    assert ("model", *changed) == SAMPLERS[sampler].schedules


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_understands_the_predictions_it_claims_and_no_other(sampler: SamplerName) -> None:
    def understood(prediction: str) -> bool:
        made, latents = scheduler(sampler, "model", prediction), torch.zeros(1, 4, 2, 2)
        try:
            made.step(latents, made.timesteps[0], made.scale_model_input(latents, made.timesteps[0]))
        except (ValueError, NotImplementedError):
            return False
        return True

    assert set(filter(understood, ["epsilon", "v_prediction", "sample"])) == SAMPLERS[sampler].predictions


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_eta_is_taken_where_the_table_says(sampler: SamplerName) -> None:
    row = SAMPLERS[sampler]
    assert row.takes_eta == ("eta" in inspect.signature(getattr(diffusers, row.scheduler).step).parameters)


def test_every_name_has_its_row() -> None:
    assert {"model", *SAMPLERS, *SIGMAS_ALONE} == set(get_args(SamplerName))
    assert SIGMA_SAMPLERS.keys() - SAMPLERS.keys() == SIGMAS_ALONE
    assert tuple(SCHEDULES) == get_args(ScheduleName) == EVERY_SCHEDULE


def test_alternatives_are_named() -> None:
    assert "ddim" not in samplers_for("karras") and "euler" in samplers_for("karras")
    assert "dpm2" not in samplers_of("sample") and "ddpm" in samplers_of("sample")


def test_the_classes_that_can_end_in_noise_alone_are_those_with_the_option() -> None:
    classes = {FRAME_FIRST_SCHEDULER, *(row.scheduler for row in SAMPLERS.values())}
    able = {
        name for name in classes if "rescale_betas_zero_snr" in inspect.signature(getattr(diffusers, name)).parameters
    }
    assert able == ZERO_SNR_SCHEDULERS
