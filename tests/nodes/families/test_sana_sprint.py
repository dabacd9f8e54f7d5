"""Pictures of Sana-Sprint equal those of diffusers' pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image as Pictures

from tests.nodes.families.text_pictures import painted
from tests.nodes.oracle import PROMPT, SIZE, Oracle, assert_same, diffusers
from weft.engine import Engine
from weft.nodes.families.sana_sprint import SanaSprintDenoiser

UNSIZED: dict[str, Any] = {"use_resolution_binning": False, "height": SIZE, "width": SIZE}


def theirs_of(oracle: Oracle, zoo: Any, steps: int, batch: int = 1, **call: Any) -> Any:
    """What the pipeline makes. It takes an angle in the middle of two steps alone."""
    middle: dict[str, Any] = {} if steps == 2 else {"intermediate_timesteps": None}
    prompts = {"prompt": [PROMPT] * batch, "guidance_scale": 4.0, "num_inference_steps": steps}
    given: dict[str, Any] = {"model": zoo("sana-sprint"), "batch": batch, **prompts, **middle, **UNSIZED, **call}
    return oracle.run(diffusers.SanaSprintPipeline, "model", **given)


@pytest.mark.parametrize("steps", [2, *(pytest.param(one, marks=pytest.mark.slow) for one in (1, 3, 4))])
@pytest.mark.parametrize("batch", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_picture_equals_that_of_the_pipeline(
    engine: Engine, zoo: Any, oracle: Oracle, steps: int, batch: int
) -> None:
    theirs = theirs_of(oracle, zoo, steps, batch=batch)
    given: dict[str, Any] = {"texts": (PROMPT, None), "steps": steps, "batch": batch}
    assert_same(painted(engine, "sana-sprint", sampler="model", **given), theirs)
    assert_same(painted(engine, "sana-sprint", sampler="lcm", **given), theirs)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.0, 1.0, 7.5])
def test_the_scale_of_guidance_acts_as_in_the_pipeline(engine: Engine, zoo: Any, oracle: Oracle, scale: float) -> None:
    theirs = theirs_of(oracle, zoo, 2, guidance_scale=scale)
    assert_same(painted(engine, "sana-sprint", steps=2, scale=scale, texts=(PROMPT, None), sampler="model"), theirs)


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "share"), [(2, 0.5), (4, 0.6), (4, 1.0)])
def test_a_picture_made_of_another_equals_that_of_the_pipeline(
    engine: Engine, zoo: Any, oracle: Oracle, pictures: Path, steps: int, share: float
) -> None:
    """The pipeline has no width for its VAE's distribution, as Weft has none."""
    shown = Pictures.open(pictures / "ramp.png").convert("RGB")
    middle: dict[str, Any] = {} if steps == 2 else {"intermediate_timesteps": None}
    given = {"prompt": [PROMPT], "guidance_scale": 4.0, "num_inference_steps": steps, **middle, **UNSIZED}
    kind, model = diffusers.SanaSprintImg2ImgPipeline, zoo("sana-sprint")
    theirs = oracle.run(kind, "model", model=model, image=shown, strength=share, **given)
    ours: dict[str, Any] = {"image": "ramp.png", "denoise": share, "sampler": "model"}
    assert_same(painted(engine, "sana-sprint", steps=steps, texts=(PROMPT, None), **ours), theirs)


def test_two_steps_meet_in_the_angle_of_the_pipeline() -> None:
    levels = [SanaSprintDenoiser.timing(cast(Any, None), steps, cast(Any, None))["sigmas"] for steps in (1, 2, 4)]
    assert [len(one) for one in levels] == [1, 2, 4]
    assert all(one[0] == pytest.approx(1.0, abs=1e-5) for one in levels)
    assert levels[1][1] == pytest.approx(0.7827, abs=1e-3) and levels[2][2] == pytest.approx(0.5, abs=1e-5)
