"""Each part of a model has the precision that its family was published in, or the one that was asked for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from tests.nodes.conftest import controlled, read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE
from weft.engine import Engine, Graph
from weft.engine.device import AUTO_PRECISIONS, part_precision
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, SaveImage, TextEncode, VAEDecode
from weft.nodes.families import FAMILIES, Family

BFLOAT16 = [family for family in FAMILIES if "bfloat16" in family.precisions.model]

Make = Callable[[str], Engine]


@pytest.fixture
def engines(models: Path, pictures: Path, tmp_path: Path) -> Make:
    """Engines of a precision, on the CPU."""

    def make(precision: str) -> Engine:
        folders: dict[str, Any] = {"models": [models], "inputs": [pictures], "output": tmp_path / "output"}
        return Engine(store=None, device="cpu", precision=precision, history=False, **folders)

    return make


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_table_names_formats_and_a_source(family: Family) -> None:
    found = family.precisions
    assert {*found.model, *found.text_encoder, *found.vae} <= {"float16", "bfloat16", "float32"} and found.source


@pytest.mark.parametrize("setting", AUTO_PRECISIONS)
@pytest.mark.parametrize("family", BFLOAT16, ids=lambda family: family.name)
def test_text_models_and_vaes_of_bfloat16_families_are_never_in_float16(family: Family, setting: str) -> None:
    found = family.precisions
    assert "float16" not in {part_precision(setting, one) for one in (found.text_encoder, found.vae)}


@pytest.mark.parametrize(
    ("model", "setting", "asked", "precisions"),
    [
        ("epsilon", "auto-bfloat16", {}, ("float16", "float16", "float16")),
        ("flux-dev", "auto-bfloat16", {}, ("bfloat16", "bfloat16", "bfloat16")),
        ("flux-dev", "auto-float16", {}, ("float16", "float32", "float32")),
        ("flux-dev", "float16", {}, ("float16", "float16", "float16")),
        ("flux-dev", "float16", {"text_encoder_precision": "bfloat16"}, ("float16", "bfloat16", "float16")),
        ("epsilon", "auto", {"vae_precision": "bfloat16"}, ("float32", "float32", "bfloat16")),
    ],
)
def test_parts_of_a_checkpoint(
    zoo: Any, engines: Make, model: str, setting: str, asked: dict[str, str], precisions: tuple[str, ...]
) -> None:
    source = model if model == "epsilon" else zoo(model)
    found: Any = engines(setting).run_now(LoadCheckpoint, {"source": source, **asked})  # type: ignore[arg-type]
    assert tuple(part.dtype for part in found) == precisions


def test_parts_of_several_precisions_paint_together(engines: Make) -> None:
    def painted(setting: str, **asked: Any) -> Any:
        with Graph() as graph:
            checkpoint = LoadCheckpoint("epsilon", **asked)
            plain, without = (TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE))
            positive, negative = controlled(plain, without, "edges", "stripes.png")
            guide = CFGGuide(checkpoint.model, positive, negative, scale=SCALE)
            latent = KSampler(guide, EmptyLatent(SIZE, SIZE, 1), seed=SEED, steps=2, sampler="euler")
            SaveImage(VAEDecode(checkpoint.vae, latent))
        with engines(setting) as engine:
            return read_pixels(engine.run(graph).paths).astype(int)

    exact, mixed = painted("float32"), painted("float32", model_precision="bfloat16", vae_precision="float16")
    assert 0 < numpy.abs(exact - mixed).mean() < 2
