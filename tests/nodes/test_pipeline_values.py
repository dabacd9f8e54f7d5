"""Recipes of pipelines: what differs in patches alone shares its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from weft.engine import Loading, Patch
from weft.nodes import Pipeline, PipelineInputs


@dataclass(frozen=True)
class Nothing(Patch[Any]):
    """Changes nothing."""

    def enter(self, module: Any, loading: Loading) -> Any:
        return lambda: None


def test_a_pipeline_with_patches_has_the_base_of_one_without() -> None:
    plain = Pipeline("digest", "FluxPipeline", "", "float32")
    changed = Pipeline("digest", "FluxPipeline", "", "float32", changes=(Nothing(),))
    assert changed.base == plain == plain.base and changed.patches == (Nothing(),)


def test_inputs_have_the_names_of_parameters() -> None:
    assert PipelineInputs((("latents", torch.zeros(1)), ("eta", 0.5))).names == ("latents", "eta")
