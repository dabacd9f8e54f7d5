"""A warning before a run: a folder with a second model for low noise that nothing uses (Wan 2.2). Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine import NodeProblem, Upstream
from weft.nodes.models.network_format import SECOND_DENOISER
from weft.nodes.sampling.model_links import guides_of, model_behind


def second_model_advice(sampler: Upstream) -> Iterator[NodeProblem]:
    """Whether the whole of a schedule is walked with the first of a folder's two models."""
    model, given = model_behind(sampler), sampler.literals
    whole = given.get("sigmas", "linked") is None and (given.get("start_step"), given.get("end_step")) == (0, None)
    if model is None or SECOND_DENOISER not in model.facts.contents.configs or not whole:
        return
    if not any(guide.call.inputs.get("later") for guide in guides_of(sampler)):
        boundary = model.facts.contents.index.get("boundary_ratio")
        share = f" {boundary:g}" if isinstance(boundary, float) else ""
        yield NodeProblem(
            "guide",
            f"the model of `{model.node}` is for high noise alone, and its folder has another one for low noise "
            f"({SECOND_DENOISER})",
            f"put SwitchGuide after the guide, with `boundary`{share} and the model that LoadDiffusionModel makes of "
            f"MODEL/{SECOND_DENOISER}",
            "unread-component",
        )
