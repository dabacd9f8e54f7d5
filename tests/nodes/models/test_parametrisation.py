"""What networks predict: made from a scheduler's configuration in one place, and seen through everywhere."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import diffusers as diffusers_library
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.refusals import refused
from weft.engine import InputError
from weft.nodes.models.parametrisation import (
    EDM,
    PARAMETRISATIONS,
    Consistency,
    Flow,
    NoiseSchedule,
    Parametrisation,
    SchedulerConfig,
    parametrisation_of,
    with_training,
)
from weft.nodes.sampling.level_walk import LevelWalk
from weft.nodes.sampling.noise import generators_for
from weft.nodes.sampling.samplers import Sampler, Solver
from weft.nodes.sampling.scheduler_run import SchedulerRun
from weft.nodes.sampling.sigma_run import SigmaRun

diffusers: Any = diffusers_library

NODES = Path(__file__).parents[3] / "nodes"
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "epsilon": {"_class_name": "PNDMScheduler", **BETAS},
    "v_prediction": {"_class_name": "DDIMScheduler", **BETAS, "prediction_type": "v_prediction"},
    "sample": {**BETAS, "prediction_type": "sample"},
    "flow": {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0},
    "edm": {"_class_name": "EDMEulerScheduler"},
    "consistency": {"_class_name": "CMStochasticIterativeScheduler"},
}
SHAPE = (2, 4, 2, 2)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_configuration_has_its_parametrisation(kind: str) -> None:
    assert parametrisation_of(CONFIGS[kind]).kind == kind


def test_a_solver_with_flow_sigmas_follows_a_flow() -> None:
    config = {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    assert parametrisation_of(config).kind == "flow"


def test_an_unknown_prediction_is_refused_with_the_nearest() -> None:
    with refused("unknown-prediction", "v-prediction", "v_prediction"):
        parametrisation_of({**BETAS, "prediction_type": "v-prediction"})


@pytest.mark.parametrize("kind", CONFIGS)
@given(share=st.floats(0.01, 0.99))
def test_a_timestep_is_that_of_its_level(kind: str, share: float) -> None:
    model = parametrisation_of(CONFIGS[kind])
    timestep = float(round(1000 * share)) if isinstance(model, NoiseSchedule) else 10 * share
    assert model.timestep(model.sigma(timestep)) == pytest.approx(timestep, abs=1e-6)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample", "flow"])
def test_a_perfect_prediction_leads_back_to_the_latents(kind: str) -> None:
    model, sigma = parametrisation_of(CONFIGS[kind]), 0.7
    clean, noise = torch.randn(SHAPE), torch.randn(SHAPE)
    scale = model.input_scale(sigma)
    seen = (model.alpha(sigma) * clean + sigma * noise) / scale
    right = {"epsilon": noise, "sample": clean, "flow": noise - clean, "v_prediction": (noise - sigma * clean) / scale}
    assert torch.allclose(model.denoised(right[kind], seen, sigma), clean, atol=1e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_preconditioning_is_that_of_diffusers(prediction: str) -> None:
    config = {"_class_name": "EDMEulerScheduler", "prediction_type": prediction, "sigma_data": 0.4}
    scheduler, model = diffusers.EDMEulerScheduler.from_config(config), parametrisation_of(config)
    x, found, sigma = torch.randn(SHAPE), torch.randn(SHAPE), 3.0
    assert torch.allclose(scheduler.precondition_inputs(x, sigma) * model.input_scale(sigma), x, atol=1e-6)
    assert float(scheduler.precondition_noise(sigma)) == pytest.approx(model.timestep(sigma))
    theirs = scheduler.precondition_outputs(x, found, sigma)
    assert torch.allclose(model.denoised(found, x / model.input_scale(sigma), sigma), theirs, atol=1e-5)


def test_the_boundary_of_consistency_models_is_that_of_diffusers() -> None:
    config = {"sigma_min": 0.1, "sigma_data": 0.4}
    scheduler = diffusers.CMStochasticIterativeScheduler.from_config(config)
    model = parametrisation_of({**config, "_class_name": "CMStochasticIterativeScheduler"})
    x, found, sigma = torch.randn(SHAPE), torch.randn(SHAPE), 3.0
    skip, out = scheduler.get_scalings_for_boundary_condition(sigma)
    ours = model.denoised(found, x / model.input_scale(sigma), sigma)
    assert torch.allclose(ours, skip * x + out * found, atol=1e-5)


def test_levels_stay_finite_where_a_schedule_ends_in_noise_alone() -> None:
    config = {**BETAS, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    assert parametrisation_of(config).sigma(999) == pytest.approx(2.0**12, rel=1e-3)


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_a_user_says_of_a_training_is_laid_over_it_or_refused(kind: str) -> None:
    fixed = {"flow", "consistency"}
    given: tuple[dict[str, object], ...] = (
        {"prediction_type": "v_prediction"},
        {"beta_schedule": "linear"},
        {"rescale_betas_zero_snr": True},
    )
    for training in given:
        if kind in fixed or (kind == "edm" and "prediction_type" not in training):
            with pytest.raises(InputError):
                with_training(CONFIGS[kind], training)
        else:
            assert training.items() <= with_training(CONFIGS[kind], training).items()


def test_listed_betas_give_way_to_a_schedule() -> None:
    assert with_training({"trained_betas": [0.1]}, {"beta_schedule": "linear"})["trained_betas"] is None


@dataclass(frozen=True)
class ReverseFlow(Parametrisation):
    """A flow whose network predicts x_0 - epsilon, at timesteps that rise: this library has none such."""

    kind = "reverse_flow"
    title = "a reverse flow"

    @classmethod
    def of(cls, config: SchedulerConfig) -> Self | None:
        return cls() if config.get("_class_name") == "ReverseFlowScheduler" else None

    def alpha(self, sigma: float) -> float:
        return 1 - sigma

    def timestep(self, sigma: float) -> float:
        return 1 - sigma

    def sigma(self, timestep: float) -> float:
        return 1 - timestep

    def denoised(self, prediction: Tensor, seen: Tensor, sigma: float) -> Tensor:
        return seen + sigma * prediction


CLEAN = torch.linspace(-1, 1, 32).reshape(SHAPE)


def reversed_velocity(seen: Tensor, timestep: Tensor, position: Any) -> Tensor:
    """The prediction of a perfect model of one picture."""
    return (CLEAN - seen) / (1 - timestep)


def test_a_new_parametrisation_is_a_class_and_a_place_in_the_rows_of_samplers() -> None:
    """Runs, previews and the choice of a class follow it; nothing else names it."""
    model = parametrisation_of({"_class_name": "ReverseFlowScheduler"}, (ReverseFlow, *PARAMETRISATIONS))
    run = SigmaRun(model, "dpmpp_2m", LevelWalk([1.0, 0.6, 0.2, 0.0]), generators=generators_for([1, 2]))
    seen: list[Tensor] = []
    samples = run.sample(
        reversed_velocity, run.from_noise(run.draw(SHAPE[1:])), lambda _, __, found: seen.append(found())
    )
    assert torch.allclose(samples, CLEAN, atol=1e-5) and torch.allclose(seen[0], CLEAN, atol=1e-5)
    preview = SchedulerRun(diffusers.FlowMatchEulerDiscreteScheduler(), model, steps=2, generators=[])
    assert torch.allclose(preview.denoised(CLEAN, torch.tensor(0.5), torch.zeros(SHAPE)), CLEAN / 2)
    row = Sampler("EulerDiscreteScheduler", solvers={model.kind: Solver("ReverseFlowScheduler")})
    assert row.solver(model.kind) == Solver("ReverseFlowScheduler") and row.solver("flow") is None


def test_no_code_but_its_own_chooses_by_a_parametrisation() -> None:
    """Nothing that samples names one of the classes or a scheduler's class; families may recognise theirs."""
    names = {one.__name__ for one in PARAMETRISATIONS} | {NoiseSchedule.__name__}
    for path in [*(NODES / "sampling").glob("*.py"), *(NODES / "library").glob("*.py")]:
        imported = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module == "weft.nodes.models.parametrisation"
            for alias in node.names
        }
        assert not imported & names, path.name


def test_parametrisations_are_values() -> None:
    assert Flow(1000, 3.0) == parametrisation_of(CONFIGS["flow"])
    assert EDM(0.5, -1) == parametrisation_of({**CONFIGS["edm"], "prediction_type": "v_prediction"})
    assert Consistency(0.5, 0.002) == parametrisation_of(CONFIGS["consistency"])
