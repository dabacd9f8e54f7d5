"""Samplers in sigma form make what their adapters make over the same sigmas, and converge as their order says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from tests.nodes.conftest import tiny_pipeline, tiny_tokenizer
from tests.nodes.oracle import SEED, STEPS, diffusers
from tests.refusals import refused
from weft.nodes.models.parametrisation import parametrisation_of
from weft.nodes.sampling.level_walk import LevelWalk
from weft.nodes.sampling.noise import generators_for
from weft.nodes.sampling.samplers import SAMPLERS, SamplerName, ScheduleName
from weft.nodes.sampling.sampling_run import SamplingRun
from weft.nodes.sampling.scheduler_run import SchedulerRun, make_scheduler
from weft.nodes.sampling.sigma_run import SigmaRun
from weft.nodes.sampling.sigma_samplers import SIGMA_SAMPLERS
from weft.nodes.sampling.sigma_walk import State, walk

PAIRS = [(name, schedule) for name in SIGMA_SAMPLERS if name in SAMPLERS for schedule in SAMPLERS[name].schedules]
SHAPE = (4, 8, 8)
SEEDS = (SEED, SEED + 1)
NOISE_SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "leading",
    "clip_sample": False,
    "set_alpha_to_one": False,
}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}


class Painter:
    """A tiny UNet and VAE of diffusers' own, under no prompt."""

    def __init__(self, prediction: str) -> None:
        self.pipe = tiny_pipeline(prediction, tiny_tokenizer())
        self.config = {**NOISE_SCHEDULE, "prediction_type": prediction}
        self.prompt = torch.randn(1, 7, 64, generator=torch.Generator().manual_seed(0))

    @torch.no_grad()
    def predict(self, latents: Tensor, timestep: Tensor, position: Any) -> Tensor:
        prediction: Tensor = self.pipe.unet(latents, timestep, self.prompt.expand(len(latents), -1, -1)).sample
        return prediction

    @torch.no_grad()
    def picture(self, latents: Tensor) -> Tensor:
        """In levels of 0..255."""
        pixels = self.pipe.vae.decode(latents / self.pipe.vae.config.scaling_factor).sample
        levels: Tensor = (pixels / 2 + 0.5).clamp(0, 1) * 255
        return levels

    def over_sigmas(
        self, config: Any, sampler: SamplerName, levels: list[float], seeds: Sequence[int] = SEEDS
    ) -> Tensor:
        run = SigmaRun(parametrisation_of(config), sampler, LevelWalk(levels), generators=generators_for(seeds))
        return self.adapted(run)

    def adapted(self, run: SamplingRun) -> Tensor:
        return self.picture(run.sample(self.predict, run.from_noise(run.draw(SHAPE)), silent))

    def both(self, config: Any, sampler: SamplerName, schedule: ScheduleName) -> tuple[Tensor, Tensor]:
        """Ours, and the adapter's; a class that cuts timesteps down to whole ones is given them as they are."""
        scheduler = make_scheduler(config, sampler, schedule)
        run = SchedulerRun(scheduler, parametrisation_of(config), steps=STEPS, generators=generators_for(SEEDS))
        levels = levels_of(scheduler)
        if isinstance(scheduler, diffusers.DPMSolverMultistepScheduler):
            timestep = parametrisation_of(config).timestep
            run.timesteps = torch.tensor([timestep(level) for level in levels[:-1]])
        return self.over_sigmas(config, sampler, levels), self.adapted(run)


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def painter(request: Any) -> Painter:
    return Painter(request.param)


def silent(step: int, steps: int, denoised: Any) -> None:
    """Progress that nobody listens to."""


def levels_of(scheduler: Any) -> list[float]:
    """The noise levels that a scheduler walks; LCM's last one is 0."""
    if hasattr(scheduler, "sigmas"):
        return list(dict.fromkeys(scheduler.sigmas.tolist()))
    last = [1.0 if isinstance(scheduler, diffusers.LCMScheduler) else float(scheduler.final_alpha_cumprod)]
    alphas = scheduler.alphas_cumprod[scheduler.timesteps].tolist() + last
    return [math.sqrt((1 - alpha) / alpha) for alpha in alphas]


def samplers_with(kind: str) -> list[SamplerName]:
    """The samplers in sigma form that diffusers has a class for, for models with a kind of parametrisation."""
    return [name for name in SIGMA_SAMPLERS if name in SAMPLERS and SAMPLERS[name].solver(kind)]


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    assert theirs.std() > 5
    assert (ours - theirs).abs().max() < 1


@pytest.mark.wide
@pytest.mark.parametrize(("sampler", "schedule"), PAIRS)
def test_a_sampler_equals_its_adapter(painter: Painter, sampler: SamplerName, schedule: ScheduleName) -> None:
    assert_same(*painter.both(painter.config, sampler, schedule))


@pytest.mark.filterwarnings("ignore:Should have:UserWarning:torchsde")
@pytest.mark.parametrize("schedule", ["model", "karras"])
def test_dpmpp_sde_equals_the_class_that_is_given_a_seed_for_each_item(painter: Painter, schedule: Any) -> None:
    karras = schedule == "karras"
    scheduler = diffusers.DPMSolverSDEScheduler.from_config(
        painter.config, noise_sampler_seed=[SEED, SEED + 1], use_karras_sigmas=karras
    )
    model = parametrisation_of(painter.config)
    run = SchedulerRun(scheduler, model, steps=STEPS, generators=generators_for(SEEDS))
    assert_same(painter.over_sigmas(painter.config, "dpmpp_sde", levels_of(scheduler)), painter.adapted(run))


@pytest.mark.parametrize("sampler", samplers_with("flow"))
def test_a_sampler_of_a_flow_equals_its_adapter(sampler: SamplerName) -> None:
    assert_same(*Painter("epsilon").both(FLOW, sampler, "model"))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sampler", samplers_with("edm"))
def test_a_sampler_of_a_model_of_edm_equals_its_adapter(sampler: SamplerName, prediction: str) -> None:
    config = {"_class_name": "EDMEulerScheduler", "prediction_type": prediction}
    assert_same(*Painter("epsilon").both(config, sampler, "model"))


@pytest.mark.wide
@pytest.mark.parametrize("sampler", SIGMA_SAMPLERS)
def test_an_item_is_the_same_alone(sampler: SamplerName) -> None:
    painter, levels = Painter("epsilon"), [10.0, 3.0, 1.0, 0.3, 0.0]
    alone = painter.over_sigmas(painter.config, sampler, levels, seeds=[SEED + 1])
    assert_same(painter.over_sigmas(painter.config, sampler, levels)[1:], alone)


@dataclass(frozen=True)
class Gaussian:
    """The exact denoiser of pictures that are all noise of some deviation about a mean, on either path."""

    mean: float
    deviation: float
    flow: bool

    def alpha(self, sigma: float) -> float:
        return 1 - sigma if self.flow else 1.0

    def variance(self, sigma: float) -> float:
        return (self.alpha(sigma) * self.deviation) ** 2 + sigma**2

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        share = self.alpha(sigma) * self.deviation**2 / self.variance(sigma)
        return self.mean + share * (x - self.alpha(sigma) * self.mean)

    def exact(self, x: Tensor, sigma: float, target: float) -> Tensor:
        """Where the way from `x` leads without noise."""
        growth = math.sqrt(self.variance(target) / self.variance(sigma))
        return self.alpha(target) * self.mean + growth * (x - self.alpha(sigma) * self.mean)

    def levels(self, steps: int) -> list[float]:
        """From much noise to little, evenly spaced in lambda."""
        ratios = torch.logspace(math.log10(8), -1, steps + 1, dtype=torch.float64).tolist()
        return [ratio / (1 + ratio) for ratio in ratios] if self.flow else ratios


GAUSSIANS = st.builds(Gaussian, st.floats(-1, 1), st.floats(0.3, 2), st.booleans())


@given(model=GAUSSIANS, start=st.floats(1, 3))
@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("dpm2", 2), ("dpmpp_2m", 2)])
@example(model=Gaussian(0.0, 0.96875, True), start=1.0)
def test_errors_shrink_by_the_order_or_faster(sampler: SamplerName, order: int, model: Gaussian, start: float) -> None:
    """At one of some doublings, since where an error changes its sign it is small by chance."""

    def error(steps: int) -> float:
        levels = model.levels(steps)
        first = State(torch.tensor(8 * start, dtype=torch.float64), levels[0])
        *_, last = walk(model, SIGMA_SAMPLERS[sampler].step, first, levels[1:], quiet)
        return float((last.x - model.exact(first.x, levels[0], levels[-1])).abs())

    assert any(math.log2(error(steps) / error(2 * steps)) > order - 0.3 for steps in (64, 128, 256))


def quiet(sigma: float, target: float) -> Tensor:
    """For samplers that draw no noise."""
    raise AssertionError("noise was drawn")


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_2m_sde", "dpmpp_sde"])
def test_samples_have_the_distribution_of_the_model(sampler: SamplerName, flow: bool) -> None:
    model, generator = Gaussian(0.5, 0.7, flow), torch.Generator().manual_seed(0)
    levels = [*([1.0] if flow else []), *model.levels(60), 0.0]

    def noise(sigma: float, target: float) -> Tensor:
        return torch.randn(20_000, generator=generator)

    first = math.sqrt(model.variance(levels[0])) * noise(0, 0) + model.alpha(levels[0]) * model.mean
    *_, last = walk(model, SIGMA_SAMPLERS[sampler].step, State(first, levels[0]), levels[1:], noise)
    assert float(last.x.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(last.x.std()) == pytest.approx(0.7, rel=0.05)


@pytest.mark.parametrize("sampler", [name for name, row in SIGMA_SAMPLERS.items() if not row.planned])
def test_a_walk_goes_on_from_any_state(sampler: SamplerName) -> None:
    model, step = Gaussian(0.2, 0.5, False), SIGMA_SAMPLERS[sampler].step

    def walked(*parts: list[float]) -> Tensor:
        generator, state = torch.Generator().manual_seed(1), State(torch.full((4,), 8.0), 8.0)
        for levels in parts:
            *_, state = walk(model, step, state, levels, lambda *_: torch.randn(4, generator=generator))
        return state.x

    assert torch.equal(walked([4, 2, 1, 0.5]), walked([4, 2], [1, 0.5]))


def test_ddim_at_eta_1_is_euler_ancestral() -> None:
    painter, levels = Painter("epsilon"), [10.0, 3.0, 1.0, 0.0]
    model = parametrisation_of(painter.config)
    run = SigmaRun(model, "ddim", LevelWalk(levels), generators=generators_for([1]), eta=1.0)
    other = SigmaRun(model, "euler_ancestral", LevelWalk(levels), generators=generators_for([1]))
    assert torch.equal(painter.adapted(run), painter.adapted(other))


@pytest.mark.parametrize(
    ("config", "sampler", "levels", "code", "values"),
    [
        (NOISE_SCHEDULE, "lcm", [0.1, 1.0], "unsupported-by-sampler", ["lcm"]),
        (NOISE_SCHEDULE, "euler", [0.0, 1.0], "wrong-levels", [0]),
        (NOISE_SCHEDULE, "deis", [1.0, 0.0], "unsupported-by-sampler", ["deis"]),
        (FLOW, "euler", [14.6, 0.0], "wrong-levels", [14.6]),
        ({"_class_name": "CMStochasticIterativeScheduler"}, "euler", [1.0, 0.0], "unsupported-by-model", ["model"]),
    ],
)
def test_what_cannot_be_walked_is_refused(
    config: Any, sampler: Any, levels: list[float], code: str, values: list[str | float]
) -> None:
    with refused(code, *values):
        SigmaRun(parametrisation_of(config), sampler, LevelWalk(levels), generators=[])


def test_a_sampler_over_sigmas_alone_has_no_class() -> None:
    with refused("needs-sigmas", "dpmpp_sde"):
        make_scheduler(NOISE_SCHEDULE, "dpmpp_sde", "model")
