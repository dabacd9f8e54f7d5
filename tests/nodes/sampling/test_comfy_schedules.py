"""ComfyUI's schedules have the levels that were measured for SD 1.x, and those of their formulas over a flow."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from weft.engine import InputError
from weft.nodes.models.parametrisation import parametrisation_of
from weft.nodes.sampling.comfy_schedules import COMFY_SCHEDULES, GUIDED_FLUX, comfy_levels, training_levels

SD1 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}

MEASURED = json.loads((Path(__file__).parent / "comfy_sigmas.json").read_text())["sigmas"]


@pytest.mark.parametrize("name", MEASURED)
def test_levels_are_those_that_were_measured(name: str) -> None:
    schedule, _, steps = name.partition("/")
    ours = comfy_levels(training_levels(parametrisation_of(SD1), "SD1"), schedule, int(steps))  # type: ignore[arg-type]
    assert ours == pytest.approx(MEASURED[name], rel=1e-4)


def test_every_schedule_was_measured() -> None:
    assert {name.partition("/")[0] for name in MEASURED} == {*COMFY_SCHEDULES}


def test_less_denoising_takes_the_last_steps_of_a_longer_schedule() -> None:
    model = training_levels(parametrisation_of(SD1), "SD1")
    assert comfy_levels(model, "normal", 6, 0.5) == comfy_levels(model, "normal", 12)[-7:]


def test_flows_are_shifted() -> None:
    flow = training_levels(parametrisation_of(FLOW), "SD3")
    assert comfy_levels(flow, "simple", 2) == pytest.approx([1.0, 3 * 0.5 / (1 + 2 * 0.5), 0.0])
    assert comfy_levels(flow, "sgm_uniform", 2)[1] == pytest.approx(3 * 0.5015 / (1 + 2 * 0.5015), rel=1e-3)
    flux = training_levels(parametrisation_of(FLOW), "FLUX", dynamic=True)
    assert len(flux.levels) == 10_000 and math.isclose(flux.at(0.5), GUIDED_FLUX / (1 + GUIDED_FLUX))


def test_a_shift_belongs_to_flows() -> None:
    with pytest.raises(InputError) as raised:
        training_levels(parametrisation_of(SD1), "SD1", shift=3.0)
    assert raised.value.code == "unsupported-by-model"
