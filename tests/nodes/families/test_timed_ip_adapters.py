"""Pictures as prompts of SD 3, whose adapters make other tokens in each step, equal those of diffusers' pipelines.

All: `pytest -m "slow or not slow" tests/nodes/families/test_timed_ip_adapters.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image as Pictures
from safetensors.torch import save_file
from transformers import SiglipImageProcessor, SiglipVisionModel

from tests.nodes.families.image_adapters import SIDE, sd3_adapter, siglip
from tests.nodes.families.test_ip_adapters import STEPS, ours, painting
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SIZE, Oracle, Pixels, assert_same, diffusers
from weft.engine import Engine
from weft.nodes import PerturbedAttention

MODELS = ["sd3", pytest.param("sd35", marks=pytest.mark.slow)]
"""Without and with norms of heads and a second attention in a block."""

Theirs = Callable[..., Pixels]


@pytest.fixture(scope="module")
def adapted(models: Path, zoo: Any, pictures: Path) -> Callable[[str], Path]:
    """The models folder with a checkpoint of SD 3, its adapter and SigLIP."""

    def give(model: str) -> Path:
        if not (models / f"{zoo(model)}-timed.safetensors").exists():
            transformer = diffusers.SD3Transformer2DModel.from_pretrained(models / model, subfolder="transformer")
            save_file(sd3_adapter(transformer, 4), models / f"{model}-timed.safetensors")
        if not (models / "siglip").exists():
            siglip().save_pretrained(models / "siglip")
            SiglipImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(models / "siglip")
        return models

    return give


@pytest.fixture(scope="module")
def pictured(adapted: Callable[[str], Path]) -> Theirs:
    """diffusers' pictures under an adapter."""

    def paint(model: str, scale: float, picture: Any, batch: int = 1, **call: Any) -> Pixels:
        folder = adapted(model)
        own = Oracle(folder)
        pipe = own.pipeline(model)
        pipe.register_modules(
            image_encoder=SiglipVisionModel.from_pretrained(folder / "siglip"),
            feature_extractor=SiglipImageProcessor.from_pretrained(folder / "siglip"),
        )
        pipe.load_ip_adapter(str(folder), weight_name=f"{model}-timed.safetensors", image_encoder_folder=None)
        pipe.set_ip_adapter_scale(scale)
        given = {"prompt": [PROMPT] * batch, "negative_prompt": [NEGATIVE] * batch, "guidance_scale": SCALE}
        size = {"num_inference_steps": STEPS, "height": SIZE, "width": SIZE}
        return own.run(
            type(pipe), "model", model=model, batch=batch, ip_adapter_image=picture, **{**size, **given, **call}
        )

    return paint


def own(model: str, **given: Any) -> Mapping[str, Any]:
    return {"adapter": f"{model}-timed", "image": "ramp.png", **given}


OURS: Mapping[str, Any] = {"sampler": "model", "encoder": "siglip"}


@pytest.mark.parametrize("scale", [0.6, pytest.param(1.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("model", MODELS)
def test_one_picture(
    engine: Engine, oracle: Oracle, pictured: Theirs, pictures: Path, model: str, scale: float
) -> None:
    theirs = pictured(model, scale, Pictures.open(pictures / "ramp.png"), batch=2)
    assert_same(ours(engine, model, [own(model, scale=scale)], 2, **OURS), theirs)
    assert numpy.abs(theirs - ours(engine, model, [], 2, **OURS).astype(int)).max() > 20, "it makes a difference"


@pytest.mark.slow
@pytest.mark.parametrize("given", [{"guidance_scale": 1.0}, {"num_inference_steps": 5}, {"width": 96, "height": 48}])
def test_other_calls(engine: Engine, oracle: Oracle, pictured: Theirs, pictures: Path, given: dict[str, Any]) -> None:
    """Without guidance, with more steps, and off the square."""
    theirs = pictured("sd3", 0.8, Pictures.open(pictures / "ramp.png"), **given)
    options = {"guidance_scale": "scale", "num_inference_steps": "steps", "width": "width", "height": "height"}
    mine = {options[name]: one for name, one in given.items()}
    assert_same(ours(engine, "sd3", [own("sd3", scale=0.8)], **OURS, **mine), theirs)


@pytest.mark.slow
def test_without_a_mask_and_under_a_whole_one_it_is_the_same(engine: Engine, adapted: Any, pictures: Path) -> None:
    adapted("sd3")
    plain = ours(engine, "sd3", [own("sd3")], **OURS)
    Pictures.new("L", (SIZE, SIZE), 255).save(pictures / "white.png")
    Pictures.new("L", (SIZE, SIZE), 0).save(pictures / "black.png")
    assert_same(ours(engine, "sd3", [own("sd3", mask="white.png")], **OURS), plain)
    nothing = ours(engine, "sd3", [], **OURS)
    assert numpy.array_equal(ours(engine, "sd3", [own("sd3", mask="black.png")], **OURS), nothing)
    assert numpy.array_equal(ours(engine, "sd3", [own("sd3", scale=0.0)], **OURS), nothing)


@pytest.mark.slow
def test_it_acts_under_perturbed_attention_and_in_a_part_of_the_steps(
    engine: Engine, adapted: Any, pictures: Path
) -> None:
    adapted("sd3")
    perturbed: Any = {"guided": lambda guide: PerturbedAttention(guide, scale=2.0)}
    with_picture, without = (ours(engine, "sd3", some, **OURS, **perturbed) for some in ([own("sd3", scale=0.8)], []))
    late = ours(engine, "sd3", [own("sd3", scale=0.8, start=0.5)], **OURS, **perturbed)
    assert not numpy.array_equal(with_picture, without) and not numpy.array_equal(late, with_picture)


@pytest.mark.slow
def test_two_pictures_are_both_seen(engine: Engine, adapted: Any, pictures: Path) -> None:
    adapted("sd3")
    both = ours(engine, "sd3", [own("sd3", image=("ramp.png", "stripes.png"))], **OURS)
    each = [ours(engine, "sd3", [own("sd3", image=name)], **OURS) for name in ("ramp.png", "stripes.png")]
    assert all(numpy.abs(both.astype(int) - one).max() > 5 for one in each)
    per_item = ours(engine, "sd3", [own("sd3", image=("ramp.png", "stripes.png"), per_item=True)], 2, **OURS)
    assert_same(per_item[:1], each[0])


def test_an_adapter_of_another_kind_is_refused(engine: Engine, adapted: Any, adapters: Path) -> None:
    adapted("sd3")
    for model, given, encoder in (("epsilon", own("sd3"), "siglip"), ("sd3", own("sd1", adapter="sd1-plus"), "vision")):
        graph = painting(model, [given], encoder=encoder)
        assert {one.code for one in engine.check(graph).problems} == {"wrong-adapter"}
