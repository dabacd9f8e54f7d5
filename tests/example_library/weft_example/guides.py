"""A guide of one's own, which declares what it is and checks the samplers that use it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from weft.engine import Limits, NodeProblem, Range, Upstream, node
from weft.nodes import Guide, GuideTraits

F = TypeVar("F")


def _check(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The interval must not be empty."""
    start, end = inputs.get("start", 0.0), inputs.get("end", 1.0)
    if start >= end:
        yield NodeProblem(
            "end", f"the interval from {start:g} to {end:g} is empty", "let `end` lie above `start`", "empty-interval"
        )


def _check_sampler(guide: Upstream, sampler: Upstream) -> Iterator[NodeProblem]:
    """The interval must contain a step of the sampler."""
    steps, start, end = sampler.literals.get("steps"), guide.literals.get("start"), guide.literals.get("end")
    if steps is None or start is None or end is None or start >= end:
        return
    if int(start * steps) == int(end * steps):
        message = f"none of {steps} steps lies in the interval of `{guide.call.id}`, {start:g} to {end:g}"
        yield NodeProblem("steps", message, "sample in more steps, or widen the interval", "no-step-in-interval")


@node(category="guidance", check=_check, traits=(GuideTraits(check_sampler=_check_sampler),))
def GuidanceInterval(
    guide: Guide[F],
    *,
    start: Annotated[float, Range(0.0, 1.0)] = 0.2,
    end: Annotated[float, Range(0.0, 1.0)] = 0.8,
) -> Guide[F]:
    """Guide in an interval of the steps only (https://arxiv.org/abs/2404.07724).

    In the other steps the denoiser is called with the positive prompt alone.

    Args:
        guide: from CFGGuide, or another guide.
        start: the fraction of the steps at which guidance begins.
        end: the fraction of the steps at which guidance ends.
    """
    return replace(guide, start=start, end=end)
